"""The terminal: what will run, a live line while items wait, the leaderboard at the end."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from pytest_llmeval.errors import LLMEvalError, SandboxFault
from pytest_llmeval.report import leaderboard, lengths
from pytest_llmeval.report.text import safe
from pytest_llmeval.results import ModelResult
from pytest_llmeval.run import Run
from pytest_llmeval.schema import PassRule

QUIET_INTERVAL_S = 30.0


def plan_lines(run: Run) -> list[str]:
    """`llmeval: tiny_coder × 164`: which models meet how many problems."""
    models = ", ".join(f"{name} × {len(tasks)}" for name, tasks in run.plan.items())
    return [f"llmeval: {models}", *_alike(run)]


def _alike(run: Run) -> list[str]:
    """Several answers at temperature 0 are one answer several times: no pass@k, only time."""
    greedy = [
        name
        for name, tasks in run.plan.items()
        if any(task.sampling.n > 1 and task.sampling.temperature == 0 for task in tasks)
        and run.specs[name].kind != "replay"
    ]
    return [f"llmeval: n > 1 at temperature 0 draws alike answers: {', '.join(greedy)}"] if greedy else []


def resume_lines(run: Run) -> list[str]:
    """What of each model's plan an earlier run has answered, and why the rest of its answers is not used."""
    if run.earlier is None:
        return []
    lines = []
    for name in run.plan:
        reuse = run.resumption.of(name)
        lines.append(
            f"resume: {name}: {len(reuse.answers)} of {reuse.wanted} answers from {run.earlier.run_id}"
        )
        if len(reuse.answers) < reuse.wanted and reuse.differences:
            lines.append(f"resume: {name}: asked again, because {'; '.join(reuse.differences)}")
    return [safe(line) for line in lines]


def sandbox_lines(run: Run) -> list[str]:
    """What holds generated code in: the level that proved itself, what was proven and what is missing."""
    try:
        isolation = run.prepare()
    except SandboxFault as fault:
        return [f"sandbox: {fault}"]
    if isolation is None:
        return []
    missing = f"; missing: {', '.join(isolation.missing)}" if isolation.missing else ""
    return [
        f"sandbox: level {isolation.level} by {isolation.means}, network {isolation.network}, files {isolation.files}, "
        f"verdict {isolation.verdict}",
        f"sandbox: proven: {', '.join(isolation.proven) or 'nothing'}{missing}",
    ]


class LiveLine:
    """Shows how far the work is while an item waits and pytest itself has nothing to report.

    On a terminal one line is rewritten; elsewhere a line is written when the stage changes or every 30 s.
    When the item's report comes, pytest finds its own line again.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._waiting = ""
        self._shown = False
        self._stage = ""
        self._told_at = 0.0

    def __call__(self, stage: str, detail: str) -> None:
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or self._config.option.verbose < 0:
            return
        news = stage != self._stage or time.monotonic() - self._told_at > QUIET_INTERVAL_S
        if reporter.isatty or news:
            self._stage, self._told_at, self._shown = stage, time.monotonic(), True
            with self._past_capture():
                _write_line(reporter, safe(f"{stage}, {detail}"))

    def _past_capture(self) -> contextlib.AbstractContextManager[None]:
        """pytest's capture would keep the line for the report of the item that waits."""
        capture: Any = self._config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._waiting = nodeid

    @pytest.hookimpl(tryfirst=True)  # before the terminal reporter writes the outcome
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._shown:
            self._shown = False
            reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
            _give_line_back(reporter, self._waiting)


def _write_line(reporter: Any, line: str) -> None:
    if reporter.isatty:
        reporter.rewrite(line, erase=True)
    else:
        reporter.ensure_newline()
        reporter.write_line(line)
    reporter.flush()


def _give_line_back(reporter: Any, nodeid: str) -> None:
    """Clear what was rewritten, and repeat the file name that outcomes are written behind."""
    if reporter.isatty:
        reporter.rewrite("", erase=True)
    reporter.currentfspath = None
    if reporter.showfspath:
        reporter.write_fspath_result(nodeid, "")


def write_files(run: Run) -> None:
    """report.md and the job's summary; one that cannot be written is a line, because the run itself is safe."""
    if run.loaded is None:
        return
    from pytest_llmeval.report.files import write_reports

    try:
        write_reports(run.loaded, run.options.summary)
    except LLMEvalError as error:
        run.unwritten.append(str(error))


def write_summary(reporter: pytest.TerminalReporter, run: Run) -> None:
    """The leaderboard, the reasons behind what is not complete, and where the run lies."""
    if not run.states:
        return
    results = list(run.results())
    asked = [result for result in results if result.selected] or results
    reporter.section("leaderboard")
    for line in table(leaderboard.table(asked)):
        reporter.write_line(safe(line))
    if conditions := leaderboard.conditions(results, PassRule(run.options.passing)):
        reporter.write_line(conditions)
    if rows := lengths.table(results):
        reporter.section(lengths.TITLE)
        for line in table(rows):
            reporter.write_line(safe(line))
    for result in results:
        if result.reason:
            reporter.write_line(safe(f"{result.spec.name}: {_first_line(result)}"))
        for note in result.notes:
            reporter.write_line(safe(f"{result.spec.name}: note: {note}"))
    _write_sections(reporter, results, run)
    if run.used:
        reporter.write_line(f"run: {run.store.folder}")
    for error in run.unwritten:
        reporter.write_line(safe(f"ERROR: {error}"), red=True)
    if run.loaded:
        from pytest_llmeval.report.files import github_commands

        for line in github_commands(run.loaded):
            reporter.write_line(line)


def _write_sections(reporter: pytest.TerminalReporter, results: list[ModelResult], run: Run) -> None:
    """Speed, memory, energy, and what the measuring suites found."""
    from pytest_llmeval.report import speed  # reads what a run left: nothing for one that only collects

    for section in speed.sections(results, run.folder) if run.used else []:
        reporter.section(section.title)
        for line in (*table(section.rows), *section.notes):
            reporter.write_line(safe(line))


def _first_line(result: ModelResult) -> str:
    return result.reason.splitlines()[0]


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines with aligned columns; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
