"""Our part of the page, as one piece of static HTML made from a run's folder.

Everything is readable without scripts: they only sort, filter and open. Whatever a model wrote passes through
`text.html`, and no address in the page leads out of the run's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pytest_llmeval.report import leaderboard, lengths
from pytest_llmeval.report.board import board_html, reasons_html
from pytest_llmeval.report.grid import by_difficulty, grid_html
from pytest_llmeval.report.headline import headline
from pytest_llmeval.report.items import item_html
from pytest_llmeval.report.links import Links, anchor, item_path
from pytest_llmeval.report.plots import plots
from pytest_llmeval.report.speed import sections, sections_html
from pytest_llmeval.report.text import html, table_html
from pytest_llmeval.report.throughput import throughput_against_latency
from pytest_llmeval.report.timelines import timelines
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.schema import RecordId
from pytest_llmeval.serving import measurements
from pytest_llmeval.serving.measurements import Measurement


def page_html(run: LoadedRun, links: Links) -> str:
    """The summary of a run; writes the items' own pages where their stories are not embedded."""
    found = measurements.read(run.folder / "serving")
    costs = sections_html(sections(run.models, run.folder))
    return (
        f"<style>{_asset('page.css')}</style><div class=llmeval><p class=headline>{html(headline(run))}</p>"
        f"<h2>Leaderboard</h2>{board_html(run)}<p class=legend>{html(_conditions(run))}</p>"
        f"{reasons_html(run.models)}{_long_prompts(run)}{costs}{_plots(run, found)}"
        f"{_problems(run, links) if run.records else ''}"
        f"<h2>Manifest</h2>{manifest_html(run)}</div><script>{_asset('page.js')}</script>"
    )


def _long_prompts(run: LoadedRun) -> str:
    rows = lengths.table(run.models)
    return f"<h2>{html(lengths.TITLE)}</h2>{table_html(rows)}" if rows else ""


def _problems(run: LoadedRun, links: Links) -> str:
    """Who solves what, and the story of each item."""
    return (
        f"<h2>Problems and models</h2>{grid_html(run, links.item)}"
        f"<h2>Items</h2>{_items(run, links) if links.embedded else _item_pages(run)}"
    )


def _conditions(run: LoadedRun) -> str:
    return leaderboard.conditions(run.models, run.rule)


def _plots(run: LoadedRun, found: Sequence[Measurement]) -> str:
    served = throughput_against_latency(found)
    every = [*plots(run), *([served] if served else []), *timelines(run)]
    drawn = "".join(
        f"<figure>{plot.drawing}<figcaption>{html(plot.title)}"
        f"<details><summary>in words</summary>{html(plot.words)}</details></figcaption></figure>"
        for plot in every
    )
    return f"<h2>Plots</h2><div class=plots>{drawn}</div>" if drawn else ""


def _items(run: LoadedRun, links: Links) -> str:
    return "".join(_story(run, name, links) for name in _in_order(run))


def _story(run: LoadedRun, name: RecordId, links: Links) -> str:
    """A closed block; a browser opens it when a link leads to the anchor inside, scripts or not."""
    record = run.whole(name)
    state = "fault" if record.is_fault else "pass" if record.passes(run.rule) else "fail"
    told = item_html(record, run.rule, links.to(run.prediction(name)))
    title = f"{html(record.model)} · {html(record.task_id)}"
    return f"<details class='item {state}'><summary>{title}</summary><div id={anchor(name)}>{told}</div></details>"


def _in_order(run: LoadedRun) -> Iterable[RecordId]:
    """As in the grid: problem by problem, hardest first."""
    for problem in by_difficulty(run):
        for model in run.models:
            if (name := RecordId(model.spec.name, *problem)) in run.records:
                yield name


def _item_pages(run: LoadedRun) -> str:
    """Write a page for each item; returns what stands in the main page instead of their stories."""
    for name in run.records:
        _write_item_page(run, name)
    return (
        f"<p>{len(run.records)} items with {run.samples} samples: the cells above lead to their pages, which lie "
        "beside this one in the folder items/.</p>"
    )


def _write_item_page(run: LoadedRun, name: RecordId) -> None:
    path = item_path(run.folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    links = Links(run.folder, path.parent, embedded=False)
    told = item_html(run.whole(name), run.rule, links.to(run.prediction(name)))
    path.write_text(own_page(f"{name.model} · {name.task_id}", told), encoding="utf-8")


def own_page(title: str, body: str) -> str:
    """A whole page of ours around a piece of HTML; it needs no script and nothing from anywhere."""
    return (
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{html(title)}</title>{POLICY}"
        f"<style>{_asset('page.css')}</style><body class=llmeval><h1>{html(title)}</h1>{body}</body></html>"
    )


# The browser enforces it.
POLICY = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"


def manifest_html(run: LoadedRun) -> str:
    """Everything that tells where the figures come from, as nested lists."""
    return f"<details class=manifest><summary>what produced these figures</summary>{_tree(run.manifest)}</details>"


def _tree(value: Any) -> str:
    if isinstance(value, Mapping):
        rows = "".join(f"<dt>{html(key)}</dt><dd>{_tree(inner)}</dd>" for key, inner in value.items())
        return f"<dl>{rows}</dl>" if rows else "none"
    if isinstance(value, list):
        return "<ul>" + "".join(f"<li>{_tree(inner)}</li>" for inner in value) + "</ul>" if value else "none"
    return "not known" if value is None else html(value)


@cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
