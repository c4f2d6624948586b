"""pytest-html's page: self-contained, in the run's folder, leaderboard on top, each item's story below.

Whatever a model wrote is escaped: the page runs and fetches nothing of it.
"""

from __future__ import annotations

import contextlib
from html import escape
from typing import Any

import pytest
from pytest_html.basereport import BaseReport

from pytest_llmeval.judged import explain
from pytest_llmeval.report import leaderboard
from pytest_llmeval.report.prompts import cut_line, shown
from pytest_llmeval.report.text import safe
from pytest_llmeval.results import ModelResult
from pytest_llmeval.run import Run
from pytest_llmeval.schema import PassRule, Record, RecordId, Sample
from pytest_llmeval.workers import is_worker

CSS = """<style>
.llmeval table{border-collapse:collapse;margin:.5em 0}
.llmeval td,.llmeval th{border:1px solid #bbb;padding:.25em .6em;text-align:right}
.llmeval td:first-child,.llmeval th:first-child,.llmeval td:nth-child(2){text-align:left}
.llmeval .reason{white-space:pre-wrap}
.llmeval-item h4{margin:.6em 0 .2em}
.llmeval-item pre{white-space:pre-wrap;border-left:3px solid #bbb;padding-left:.6em;margin:0}
</style>"""


OUR_PATH = pytest.StashKey[bool]()


def choose_html_path(config: pytest.Config, run: Run) -> None:
    """Let pytest-html write <run folder>/report.html, unless the user chose a path of their own."""
    alone = not is_worker(config) and config.getoption("dist", "no") == "no"
    wanted = alone and config.pluginmanager.hasplugin("html")
    if wanted and not config.option.htmlpath and not config.option.collectonly:
        config.stash[OUR_PATH] = True
        config.option.htmlpath = str(run.folder / "report.html")
        config.option.self_contained_html = True


def withdraw_html(config: pytest.Config, run: Run) -> None:
    """Where no item of ours is selected, no file appears: take back the page and its folder."""
    if run.plan or not config.stash.get(OUR_PATH, False):
        return
    for plugin in list(config.pluginmanager.get_plugins()):
        if isinstance(plugin, BaseReport):
            config.pluginmanager.unregister(plugin)
    for folder in (run.folder, run.folder.parent):
        with contextlib.suppress(OSError):  # not empty: other runs lie there
            folder.rmdir()


class HtmlHooks:
    """Fills pytest-html's page."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def pytest_html_report_title(self, report: Any) -> None:
        report.title = f"Model evaluation {self._run.started_at:%Y-%m-%d %H:%M}"
        report.set_data("renderCollapsed", ["all"])  # hundreds of stories: the reader opens those that matter

    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        if self._run.used:
            rule = PassRule(self._run.options.passing)
            prefix.append(summary_html(list(self._run.results()), rule))

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        cells.insert(2, '<th class="sortable" data-column-type="outcome">Outcome</th>')

    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        record = self._record_of(report)
        outcome = getattr(report, "llmeval_says", None) or (explain(record) if record else "")
        cells.insert(2, f'<td class="col-outcome">{_text(outcome)}</td>')

    def pytest_html_results_table_html(self, report: pytest.TestReport, data: list[str]) -> None:
        if record := self._record_of(report):
            data[:] = [record_html(record)]

    def _record_of(self, report: pytest.TestReport) -> Record | None:
        name = getattr(report, "llmeval", None)
        return self._run.store.get(RecordId(*name)) if name else None


def summary_html(results: list[ModelResult], rule: PassRule) -> str:
    """The leaderboard and the reasons behind what is not complete."""
    reasons = "".join(
        f"<p><b>{_text(r.spec.name)}</b></p><pre class='reason'>{_text(r.reason)}</pre>"
        for r in results
        if r.reason
    )
    notes = "".join(f"<p><b>{_text(r.spec.name)}</b>: {_text(n)}</p>" for r in results for n in r.notes)
    return (
        f"{CSS}<div class='llmeval'><h2>Leaderboard</h2>"
        f"{_table(*leaderboard.table(results))}"
        f"<p>{_text(leaderboard.conditions(results, rule))}</p>{notes}{reasons}</div>"
    )


def _table(headings: tuple[str, ...], *rows: tuple[str, ...]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in headings)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def record_html(record: Record) -> str:
    """Prompt, and per sample: outcome, answer, program and output."""
    samples = "".join(_sample_html(sample) for sample in record.samples)
    return f"<div class='llmeval-item'>{_block('Prompt', shown(record.prompt))}{samples}</div>"


def _sample_html(sample: Sample) -> str:
    verdict, completion = sample.verdict, sample.completion
    outcome = f"{verdict.outcome}: {verdict.detail}" if verdict.detail else str(verdict.outcome)
    return (
        _block(f"Outcome of sample {sample.index}", outcome)
        + (_block("Cut to fit", cut_line(completion.cut)) if completion.cut else "")
        + _block(
            f"Answer ({completion.completion_tokens} tokens, {completion.finish_reason})", completion.text
        )
        + (_block(f"Program ({sample.program.rule})", sample.program.source) if sample.program else "")
        + (_block("Output", verdict.output) if verdict.output else "")
    )


def _block(title: str, text: str) -> str:
    return f"<h4>{_text(title)}</h4><pre>{_text(text)}</pre>"


def _text(text: str) -> str:
    return escape(safe(text))
