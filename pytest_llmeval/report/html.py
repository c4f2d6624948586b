"""pytest-html's page: where it is written, and what its hooks put into it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from pytest_html.basereport import BaseReport

from pytest_llmeval.options import only_shows
from pytest_llmeval.report.links import Links
from pytest_llmeval.report.text import html
from pytest_llmeval.schema import RecordId
from pytest_llmeval.workers import is_worker

if TYPE_CHECKING:
    from pytest_llmeval.run import Run
    from pytest_llmeval.runs import LoadedRun


class Source(Protocol):
    """What the page is made of: a Run, which is read back when it is closed, or a run that was loaded."""

    started_at: datetime
    loaded: LoadedRun | None

    @property
    def folder(self) -> Path: ...

    @property
    def planned_samples(self) -> int: ...


OUR_PATH = pytest.StashKey[bool]()


def choose_html_path(config: pytest.Config, run: Run) -> None:
    """Let pytest-html write <run folder>/report.html, unless the user chose a path of their own."""
    wanted = not is_worker(config) and config.pluginmanager.hasplugin("html")
    if wanted and not config.option.htmlpath and not only_shows(config):
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
    """Fills pytest-html's page: our part above its table of items, and in each row how the item fared.

    The stories of the items stand in our part, not in the rows: pytest-html keeps its rows in a script and draws
    all of them anew at every click.
    """

    def __init__(self, source: Source, path: Path) -> None:
        self._source = source
        self._beside = path.expanduser().absolute().parent

    def pytest_html_report_title(self, report: Any) -> None:
        report.title = f"Model evaluation {self._source.started_at:%Y-%m-%d %H:%M}"
        report.set_data("renderCollapsed", ["all"])  # hundreds of rows: the reader opens those that matter

    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        if run := self._source.loaded:
            from pytest_llmeval.report.page import page_html  # not before there is a page to make

            prefix.append(page_html(run, self._links()))

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        cells.insert(2, '<th class="sortable" data-column-type="outcome">Outcome</th>')

    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        cells[1] = f'<td class="col-testId">{html(report.nodeid)}</td>'  # pytest-html does not escape it
        told = getattr(report, "llmeval_says", None) or getattr(report, "llmeval_told", "")
        cells.insert(2, f'<td class="col-outcome">{html(told)}</td>')

    def pytest_html_results_table_html(self, report: pytest.TestReport, data: list[str]) -> None:
        if (name := getattr(report, "llmeval", None)) and getattr(report, "llmeval_told", ""):
            target = html(self._links().item(RecordId(*name)))
            told = f"<p>{html(report.llmeval_told)}</p><p><a href='{target}'>all about it</a></p>"
            # What else went wrong, in the test itself or in a fixture, pytest alone can tell.
            data[:] = [told, *(data if report.failed and not getattr(report, "llmeval_wrong", False) else [])]

    def _links(self) -> Links:
        return Links.for_samples(self._source.planned_samples, self._source.folder, self._beside)


class PageTrouble:
    """Notes that pytest-html could not write its page, where its error would end the session in a traceback."""

    def __init__(self, unwritten: list[str], path: Path) -> None:
        self._unwritten, self._path = unwritten, path

    @pytest.hookimpl(wrapper=True, trylast=True)  # innermost: pytest-html writes inside
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        try:
            return (yield)
        except OSError as error:
            self._unwritten.append(
                f"{error.filename or self._path} cannot be written: {error.strerror or error}"
            )
            return None
