"""The terminal: what will run, a live line while items wait, the leaderboard at the end."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from pytest_llmeval.errors import LLMEvalError, SandboxFault
from pytest_llmeval.printable import printed
from pytest_llmeval.report import leaderboard, lengths
from pytest_llmeval.report.columns import fitted, wrapped
from pytest_llmeval.report.headline import headlines
from pytest_llmeval.run import Run
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import ModelResult, lines_of
from pytest_llmeval.schema import PassRule

QUIET_INTERVAL_S = 30.0
SCREENFUL = 20  # lines of pytest's short summary that push what stands above them out of sight
LISTED = {"f": "failed", "E": "error", "x": "xfailed", "p": "passed"}  # a line each, by the letters of -r


def plan_lines(run: Run) -> list[str]:
    """`llmeval: tiny_coder × 164`: which models meet how many problems, and which are measured only."""
    models = ", ".join(
        f"{name} × {len(tasks)}" if tasks else f"{name}, to be measured" for name, tasks in run.plan.items()
    )
    part = f" (shard {run.options.shard})" if run.options.shard else ""
    return [f"llmeval: {models}{part}", *_alike(run)]


def empty_shard_line(run: Run) -> str:
    """Why nothing runs, where other shards have all there is."""
    problems = len({task.problem for tasks in run.whole.values() for task in tasks})
    return (
        f"llmeval: shard {run.options.shard} holds none of the {problems} selected problems: nothing to ask"
    )


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
    return [printed(line) for line in lines]


def sandbox_lines(run: Run) -> list[str]:
    """What holds generated code in: the level that proved itself, what was proven and what is missing."""
    try:
        isolation = run.prepare()
    except SandboxFault as fault:
        return [f"sandbox: {fault}"]
    if isolation is None:
        return []
    missing = f"; missing: {', '.join(isolation.missing)}" if isolation.missing else ""
    ray = [f"ray: {run.machines.on_ray.headline()}"] if run.machines.on_ray else []
    return [
        *ray,
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
                _write_line(reporter, printed(f"{stage}, {detail}"))

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
        room = shutil.get_terminal_size().columns - 1  # what wraps cannot be rewritten
        reporter.rewrite(line if len(line) <= room else f"{line[: room - 1]}…", erase=True)
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


def write_files(run: Run, config: pytest.Config) -> None:
    """report.md, a job's summary, JUnit properties; what cannot be written is a line: the run itself is safe."""
    if run.loaded is None:
        return
    from pytest_llmeval.report.files import write_reports
    from pytest_llmeval.report.junit import add_properties

    add_properties(config, run.loaded)
    try:
        write_reports(run.loaded, run.options.summary)
    except LLMEvalError as error:
        run.unwritten.append(str(error))


def write_summary(reporter: pytest.TerminalReporter, run: Run) -> None:
    """The leaderboard, the reasons behind what is not complete, and where the run lies; with -q no more than that."""
    if not run.used:
        return
    results = list(run.results())
    asked = [result for result in results if result.selected] or results
    writer = _Writer(reporter)
    lines = list(lines_of(asked))
    writer.section("leaderboard")
    for sentence in headlines(run.loaded) if run.loaded else ():
        writer.text(sentence)
    writer.table(leaderboard.table(lines), keys=2 if leaderboard.has_several_sets(lines) else 1)
    writer.text(leaderboard.conditions(results, PassRule(run.options.passing)))
    if writer.quiet:
        writer.reasons(results)
    else:
        _write_in_full(writer, results, run)
    reporter.write_line(f"run: {run.folder}")
    for error in run.unwritten:
        reporter.write_line(printed(f"ERROR: {error}"), red=True)
    _write_annotations(reporter, run)


class LastWords:
    """Says the outcome once more where pytest's list of items has pushed it out of sight.

    pytest writes its short summary behind what plugins say, and a model that did not load is a line there for each of
    its problems.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside pytest's own, which ends with its list
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> Generator[None, object, object]:
        result = yield
        letters = LISTED.keys() & set("" if config.option.no_summary else terminalreporter.reportchars)
        lines = sum(len(terminalreporter.stats.get(LISTED[letter], ())) for letter in letters)
        if lines > SCREENFUL and self._run.loaded:
            self._write(_Writer(terminalreporter), self._run.loaded)
            terminalreporter.write_line(f"run: {self._run.folder}")
        return result

    @staticmethod
    def _write(writer: _Writer, loaded: LoadedRun) -> None:
        from pytest_llmeval.report import verdict

        writer.section("in short")
        for sentence in headlines(loaded):
            writer.text(sentence)
        if (gate := verdict.read(loaded.folder)) and gate.findings:
            writer.text(gate.sentence)
        writer.reasons(loaded.models)


def _write_in_full(writer: _Writer, results: list[ModelResult], run: Run) -> None:
    """Accuracy by length, notes, speed, memory, energy, and what the measuring suites found."""
    from pytest_llmeval.report import speed  # reads what a run left: nothing for one that only collects

    if rows := lengths.table(list(lines_of(results))):
        writer.section(lengths.TITLE)
        writer.table(rows, keys=2)
    writer.reasons(results)
    for result in results:
        for note in result.notes:
            writer.text(f"{result.spec.name}: note: {note}")
    for section in speed.sections(run.loaded) if run.loaded else []:
        writer.section(section.title)
        if section.rows:
            writer.table(section.rows)
        for note in section.notes:
            writer.text(note)


def _write_annotations(reporter: pytest.TerminalReporter, run: Run) -> None:
    if run.loaded:
        from pytest_llmeval.report.files import github_commands

        for line in github_commands(run.loaded):
            reporter.write_line(line)


class _Writer:
    """Lines that fit the terminal, with nothing in them that could steer it."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter
        self._width = shutil.get_terminal_size().columns  # what pytest goes by
        self.quiet = reporter.config.get_verbosity() < 0

    def section(self, title: str) -> None:
        self._reporter.section(title)

    def table(self, rows: Sequence[Sequence[str]], keys: int = 1) -> None:
        for line in fitted([[printed(cell) for cell in row] for row in rows], self._width, keys):
            self._reporter.write_line(line)

    def text(self, text: str) -> None:
        for line in wrapped(printed(text), self._width) if text else ():
            self._reporter.write_line(printed(line))  # once more: what was in its middle may now begin a line

    def reasons(self, results: Sequence[ModelResult]) -> None:
        """Why a model is not complete, in a line; the whole reason stands at its first error."""
        for result in results:
            if result.reason:
                self.text(f"{result.spec.name}: {result.reason.splitlines()[0]}")
