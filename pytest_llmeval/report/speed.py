"""Speed, memory and energy as sections of tables: for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_llmeval.report import reference, serving
from pytest_llmeval.report.columns import without_empty
from pytest_llmeval.report.text import html, table_html
from pytest_llmeval.runs import LoadedRun


@dataclass(frozen=True)
class Section:
    """A title, headings and rows of text (none where there is no figure), and lines below them."""

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
        table = _section("speed, memory, energy", reference.table(asked, costs))
        told = reference.conditions(asked, table.rows[0] if table.rows else ())
        found.append(replace(table, notes=(*table.notes, *told)))
    if rows := reference.memory_table(costs):
        found.append(_section("memory, as the engine tells it", rows))
    for title, rows, conditions in serving.tables(run.measurements):
        found.append(_section(f"serving: {title}", rows, conditions))
    if found:
        missing = reference.reasons(costs)
        found[-1] = replace(found[-1], notes=(*found[-1].notes, *reference.sources(costs), *missing))
    return found


def _section(title: str, rows: Sequence[tuple[str, ...]], notes: tuple[str, ...] = ()) -> Section:
    """Columns without any figure are named in a line instead."""
    kept, empty = without_empty(rows)
    has_figures = not set(kept[0]) <= {"model", "status"}
    return Section(title, kept if has_figures else [], (*empty, *notes))


def sections_html(found: Sequence[Section]) -> str:
    """The sections as a piece of a page."""
    return "".join(
        f"<h2>{html(section.title.capitalize())}</h2>{table_html(section.rows) if section.rows else ''}"
        + "".join(f"<p class=legend>{html(note)}</p>" for note in section.notes)
        for section in found
    )
