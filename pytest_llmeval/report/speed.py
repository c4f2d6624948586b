"""Speed, memory and energy as sections of tables: for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmeval.costs import costs_of
from pytest_llmeval.report import reference, serving
from pytest_llmeval.report.text import html, table_html
from pytest_llmeval.results import ModelResult
from pytest_llmeval.serving import measurements


@dataclass(frozen=True)
class Section:
    """A title, headings and rows of text, and lines below them."""

    title: str
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def sections(results: Sequence[ModelResult], folder: Path) -> list[Section]:
    """Everything a run's folder tells of speed and costs; empty where no model was opened."""
    asked = [result for result in results if result.selected and (folder / "telemetry").is_dir()]
    costs = {result.spec.name: costs_of(result, folder) for result in asked}
    found = []
    if asked:
        notes = tuple(reference.conditions(asked, costs))
        found.append(Section("speed, memory, energy", reference.table(asked, costs), notes))
    for title, rows in serving.tables(measurements.read(folder / "serving")):
        found.append(Section(f"serving: {title}", rows))
    return found


def sections_html(found: Sequence[Section]) -> str:
    """The sections as a piece of a page."""
    return "".join(
        f"<h2>{html(section.title.capitalize())}</h2>{table_html(section.rows)}"
        + "".join(f"<p class=legend>{html(note)}</p>" for note in section.notes)
        for section in found
    )
