"""Speed, memory and energy as sections of tables: for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_llmeval.report import reference, serving
from pytest_llmeval.report.text import html, table_html
from pytest_llmeval.runs import LoadedRun


@dataclass(frozen=True)
class Section:
    """A title, headings and rows of text, and lines below them."""

    title: str
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def sections(run: LoadedRun) -> list[Section]:
    """Everything a run tells of speed and costs; empty where no model was watched and nothing measured."""
    measured = {one.model for one in run.measurements}
    asked = [model for model in run.models if model.selected and run.telemetry]
    named = [m.spec.name for m in run.models if m in asked or m.spec.name in measured]
    costs = {name: run.costs[name] for name in named}
    found = []
    if asked:
        found.append(
            Section("speed, memory, energy", reference.table(asked, costs), reference.conditions(asked))
        )
    if rows := reference.memory_table(costs):
        found.append(Section("memory, as the engine tells it", rows))
    for title, rows, conditions in serving.tables(run.measurements):
        found.append(Section(f"serving: {title}", rows, conditions))
    if found:
        missing = reference.reasons(costs)
        found[-1] = replace(found[-1], notes=(*found[-1].notes, *reference.sources(costs), *missing))
    return found


def sections_html(found: Sequence[Section]) -> str:
    """The sections as a piece of a page."""
    return "".join(
        f"<h2>{html(section.title.capitalize())}</h2>{table_html(section.rows)}"
        + "".join(f"<p class=legend>{html(note)}</p>" for note in section.notes)
        for section in found
    )
