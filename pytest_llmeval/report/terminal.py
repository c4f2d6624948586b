"""The terminal: one line on what will run, a live line while items wait, the leaderboard at the end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pytest_llmeval.report import leaderboard
from pytest_llmeval.report.text import safe
from pytest_llmeval.run import ModelResult, Run

QUIET_INTERVAL_S = 30.0


def plan_lines(run: Run) -> list[str]:
    """`llmeval: 656 items…`; nothing where no item of ours was selected."""
    if not run.plan:
        return []
    models = ", ".join(f"{name} × {len(problems)}" for name, problems in run.plan.items())
    return [f"llmeval: {models}"]


class LiveLine:
    """Shows how far the work is while pytest itself has nothing to report.

    On a terminal one line is rewritten; elsewhere a line is written when the stage changes or every 30 s.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._last = ""
        self._last_at = 0.0

    def __call__(self, line: str) -> None:
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or self._config.option.verbose < 0:
            return
        if reporter.isatty:
            self._write(reporter, line)
        elif self._is_news(line):
            self._last, self._last_at = _stage(line), time.monotonic()
            self._write(reporter, line)

    def _is_news(self, line: str) -> bool:
        return _stage(line) != self._last or time.monotonic() - self._last_at > QUIET_INTERVAL_S

    def _write(self, reporter: Any, line: str) -> None:
        """Past pytest's capture, which would keep it for the report of the item that waits."""
        capture: Any = self._config.pluginmanager.getplugin("capturemanager")
        if capture is None:
            return _show(reporter, line)
        with capture.global_and_fixture_disabled():
            return _show(reporter, line)


def _show(reporter: Any, line: str) -> None:
    if reporter.isatty:
        reporter.rewrite(line, erase=True)
        reporter.currentfspath = -2  # what follows starts a line of its own, with the file name again
    else:
        reporter.ensure_newline()
        reporter.write_line(line)
    reporter.flush()


def _stage(line: str) -> str:
    """`tiny_coder: loading 3 s` → `tiny_coder: loading`: what stays while numbers move."""
    return "".join(character for character in line if not character.isdigit())


def write_summary(reporter: pytest.TerminalReporter, run: Run) -> None:
    """The leaderboard, the reasons behind what is not complete, and where the run lies."""
    if not run.states:
        return
    results = list(run.results())
    reporter.section("leaderboard")
    for line in table([leaderboard.HEADINGS, *leaderboard.rows(results)]):
        reporter.write_line(safe(line))
    if conditions := leaderboard.conditions(results):
        reporter.write_line(conditions)
    for result in results:
        if result.reason:
            reporter.write_line(safe(f"{result.spec.name}: {_first_line(result)}"))
    if run.used:
        reporter.write_line(f"run: {run.store.folder}")


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
