"""Every report of a run once more, from what lies in its folder: no model, no device, no sandbox.

The page is pytest-html's, so pytest runs, with an item for each Record that only repeats its verdict, and with
no other plugin, no configuration and no terminal.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.gate.commands import add_judging_arguments, judge_folder
from pytest_llmeval.items.judged import explain
from pytest_llmeval.merging import merge_runs
from pytest_llmeval.printable import safe
from pytest_llmeval.report.files import write, write_reports
from pytest_llmeval.report.headline import what_is_missing
from pytest_llmeval.report.html import HtmlHooks
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.schema import Record, RecordId
from pytest_llmeval.store import SUMMARY, document

PLUGINS = ("pytest_metadata.plugin", "pytest_html.plugin")


def command(arguments: Sequence[str]) -> int:
    """`python -m pytest_llmeval report RUN [RUN ...]`: 0, or 1 where a gate fails or problems are missing."""
    given = _parser().parse_args(arguments)
    several = len(given.runs) > 1
    folder = (
        merge_runs(given.runs, given.reports or given.runs[0].resolve().parent) if several else given.runs[0]
    )
    run = load_run(folder)
    sys.stdout.write(f"{run.folder}\n")
    write_summary(run)  # the gate reads it, and the page what the gate finds
    failed = judge_folder(run.folder, given, keep=True) if given.baseline or given.rule else 0
    write_page(run)
    write_reports(run, given.summary, environ={})
    if missing := what_is_missing(run):
        sys.stderr.write(f"{safe(missing)}\n")
    return 1 if failed or missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_llmeval report", description=__doc__)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN",
        help="the folder of a run, e.g. reports/latest; of several (shards, or models that were evaluated on "
        "different machines) one new run is made",
    )  # fmt: skip
    parser.add_argument(
        "--reports", type=Path, metavar="DIR", help="where a new run is written (default: beside the first)"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="also write a CI job's summary to FILE")
    add_judging_arguments(parser)
    return parser


def rebuild(run: LoadedRun) -> None:
    """Write a run's page and its summary.json anew.

    Raises:
        LLMEvalError: pytest could not make the page, or a file cannot be written.
    """
    write_summary(run)
    write_page(run)


def write_summary(run: LoadedRun) -> None:
    """Write summary.json anew.

    Raises:
        LLMEvalError: it cannot be written.
    """
    write(run.folder / SUMMARY, document(run.summary))


def write_page(run: LoadedRun) -> None:
    """Write report.html anew.

    Raises:
        LLMEvalError: pytest could not make it.
    """
    path = run.folder / "report.html"
    arguments = [f"--html={path}", "--self-contained-html", "-c", os.devnull, f"--rootdir={run.folder}"]
    plugins = [argument for name in PLUGINS for argument in ("-p", name)]
    quiet = ["--noconftest", "-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:llmeval_bench"]
    with _environment(
        {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": None, "PYTEST_PLUGINS": None}
    ):
        code = pytest.main([*arguments, *plugins, *quiet], plugins=[_Replay(run)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise LLMEvalError(f"{path} could not be made: pytest ended with {code!r}")


@contextmanager
def _environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@dataclass
class _Source:
    """What HtmlHooks makes the page of."""

    loaded: LoadedRun | None
    folder: Path
    started_at: datetime
    planned_samples: int


class _Replay:
    """A pytest plugin whose items are a run's Records."""

    def __init__(self, run: LoadedRun) -> None:
        self._run = run

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        run, path = self._run, Path(session.config.option.htmlpath)
        source = _Source(run, run.folder, run.started_at, run.samples)
        session.config.pluginmanager.register(HtmlHooks(source, path), "llmeval_html")

    def pytest_collection(self, session: pytest.Session) -> bool:
        session.items = [
            _RecordItem.from_parent(session, name=_item_name(n), run=self._run, of=n)
            for n in self._run.records
        ]
        session.testscollected = len(session.items)
        session.config.hook.pytest_collection_finish(session=session)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: _RecordItem
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        report.llmeval = list(item.record.record_id)  # type: ignore[attr-defined]
        report.llmeval_told = safe(explain(item.record, self._run.rule))  # type: ignore[attr-defined]
        report.llmeval_wrong = True  # type: ignore[attr-defined]  # nothing else can go wrong here
        return report


class _RecordItem(pytest.Item):
    """Passes, fails or errs as the Record's own item did."""

    def __init__(self, *, run: LoadedRun, of: RecordId, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self._rule = run.rule
        self.record: Record = run.records[of]

    @property
    def nodeid(self) -> str:
        """The item's name alone: it lies in no file."""
        return self.name

    def setup(self) -> None:
        if self.record.is_fault:
            pytest.fail(safe(explain(self.record)), pytrace=False)

    def runtest(self) -> None:
        if not self.record.passes(self._rule):
            pytest.fail(safe(explain(self.record, self._rule)), pytrace=False)


def _item_name(name: RecordId) -> str:
    return f"{name.problem_set}[{name.model}-{name.task_id}]"
