"""Our part of the page, as one piece of static HTML made from a run's folder.

Everything is readable without scripts: they only sort, filter and open. Whatever a model wrote passes through
`text.html`, and no address in the page leads out of the run's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pytest_llmeval.report import leaderboard, lengths
from pytest_llmeval.report.board import board_html, reasons_html
from pytest_llmeval.report.grid import by_difficulty, grid_html
from pytest_llmeval.report.headline import headlines
from pytest_llmeval.report.items import item_html
from pytest_llmeval.report.links import Links, anchor, item_path
from pytest_llmeval.report.plots import Plot, by_prompt_length, plots
from pytest_llmeval.report.readings import Readings, Window, readings_of
from pytest_llmeval.report.speed import sections, sections_html
from pytest_llmeval.report.text import html, table_html
from pytest_llmeval.report.throughput import throughput_against_latency
from pytest_llmeval.report.timelines import timelines
from pytest_llmeval.report.verdict import verdict_html, verdict_line
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.schema import RecordId

ByModel: TypeAlias = Mapping[str, Readings]
LISTED = 20  # entries of a list in the manifest
# Of our own pages: whatever should get past the escaping, the browser neither runs nor fetches it.
POLICY = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"


def page_html(run: LoadedRun, links: Links) -> str:
    """The summary of a run; writes the items' own pages where their stories are not embedded."""
    readings = readings_of(run)
    costs = sections_html(sections(run))
    return (
        f"<style>{_asset('page.css')}</style><div class=llmeval>{_headline(run)}"
        f"<h2>Leaderboard</h2>{board_html(run)}<p class=legend>{html(_conditions(run))}</p>"
        f"{reasons_html(run.models)}{verdict_html(run, links)}{_long_prompts(run)}{costs}{_plots(run, readings)}"
        f"{_problems(run, links, readings) if run.records else ''}"
        f"<h2>Manifest</h2>{manifest_html(run)}</div><script>{_asset('page.js')}</script>"
    )


def _headline(run: LoadedRun) -> str:
    told = "".join(f"<p class=headline>{html(line)}</p>" for line in headlines(run))
    return told + verdict_line(run)


def _long_prompts(run: LoadedRun) -> str:
    rows = lengths.table(run.lines)
    if not rows:
        return ""
    drawn = by_prompt_length(run)
    plot = _drawn([drawn]) if drawn else ""
    return f"<h2>{html(lengths.TITLE)}</h2><div class=beside>{table_html(rows)}{plot}</div>"


def _problems(run: LoadedRun, links: Links, readings: ByModel) -> str:
    """Who solves what, and the story of each item."""
    return (
        f"<h2>Problems and models</h2>{grid_html(run, links.item)}"
        f"<h2 id=items>Items</h2>{_items(run, links, readings) if links.embedded else _item_pages(run, readings)}"
    )


def _conditions(run: LoadedRun) -> str:
    return leaderboard.conditions(run.models, run.rule)


def _plots(run: LoadedRun, readings: ByModel) -> str:
    served = throughput_against_latency(run.measurements)
    every = [*plots(run), *([served] if served else []), *timelines(readings)]
    return f"<h2>Plots</h2>{_drawn(every)}" if every else ""


def _drawn(plots: Iterable[Plot]) -> str:
    figures = "".join(
        f"<figure>{plot.drawing}<figcaption>{html(plot.title)}"
        f"<details><summary>in words</summary>{html(plot.words)}</details></figcaption></figure>"
        for plot in plots
    )
    return f"<div class=plots>{figures}</div>"


def _items(run: LoadedRun, links: Links, readings: ByModel) -> str:
    told = "".join(_story(run, name, links, readings) for name in _in_order(run))
    return (
        f"<details class=items><summary>all {len(run.records)}, one after the other</summary>{told}</details>"
    )


def _story(run: LoadedRun, name: RecordId, links: Links, readings: ByModel) -> str:
    """A closed block; a browser opens it when a link leads to the anchor inside, scripts or not."""
    record = run.whole(name)
    state = "fault" if record.is_fault else "pass" if record.passes(run.rule) else "fail"
    told = item_html(record, run.rule, _prediction(run, name, links), readings[name.model].window(name))
    title = html(_title(run, name))
    return f"<details class='item {state}'><summary>{title}</summary><div id={anchor(name)}>{told}</div></details>"


def _title(run: LoadedRun, name: RecordId) -> str:
    """An item's name; with its problem set where there are several."""
    problem_set = f"{name.problem_set} " if len(run.problem_sets) > 1 else ""
    return f"{name.model} · {problem_set}{name.task_id}"


def _prediction(run: LoadedRun, name: RecordId, links: Links) -> str:
    path = run.prediction(name)
    return links.to(path) if path.is_file() else ""


def _in_order(run: LoadedRun) -> Iterable[RecordId]:
    """As in the grid: problem by problem, hardest first."""
    for problem in by_difficulty(run):
        for model in run.models:
            if (name := RecordId(model.spec.name, *problem)) in run.records:
                yield name


def _item_pages(run: LoadedRun, readings: ByModel) -> str:
    """Write a page for each item; returns what stands in the main page instead of their stories."""
    for name in run.records:
        _write_item_page(run, name, readings[name.model].window(name))
    return (
        f"<p>{len(run.records)} items with {run.samples} samples: the cells above lead to their pages, which lie "
        "beside this one in the folder items/.</p>"
    )


def _write_item_page(run: LoadedRun, name: RecordId, window: Window | None) -> None:
    path = item_path(run.folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    links = Links(run.folder, path.parent, embedded=False)
    told = item_html(run.whole(name), run.rule, _prediction(run, name, links), window)
    path.write_text(own_page(_title(run, name), told), encoding="utf-8")


def own_page(title: str, body: str) -> str:
    """A whole page of ours around a piece of HTML; it needs no script and nothing from anywhere."""
    return (
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{html(title)}</title>{POLICY}"
        f"<style>{_asset('page.css')}</style><body class=llmeval><h1>{html(title)}</h1>{body}</body></html>"
    )


def manifest_html(run: LoadedRun) -> str:
    """Everything that tells where the figures come from, as nested lists."""
    return f"<details class=manifest><summary>what produced these figures</summary>{_tree(run.manifest)}</details>"


def _tree(value: Any) -> str:
    if isinstance(value, Mapping):
        rows = "".join(f"<dt>{html(key)}</dt><dd>{_tree(inner)}</dd>" for key, inner in value.items())
        return f"<dl>{rows}</dl>" if rows else "none"
    if isinstance(value, list):
        shown = [*map(_tree, value[:LISTED])]
        more = [f"{len(value) - LISTED} more in manifest.json"] if len(value) > LISTED else []
        return "<ul>" + "".join(f"<li>{item}</li>" for item in [*shown, *more]) + "</ul>" if value else "none"
    return "not known" if value is None else html(value)


@cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
