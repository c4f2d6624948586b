"""Findings as test reports of their own, and wrong answers of judged models as expected failures."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cached_property
from typing import Any

import pytest

from pytest_llmeval.collection import model_of, problem_of
from pytest_llmeval.gate.figures import NOTHING, Task
from pytest_llmeval.gate.findings import FINDINGS, Finding
from pytest_llmeval.gate.judge import Gate, Scope, what_changed
from pytest_llmeval.gate.reading import read_run
from pytest_llmeval.gate.record import findings_document
from pytest_llmeval.gate.text import gate_lines
from pytest_llmeval.gating import selections
from pytest_llmeval.gating.reports import reports_of, word_of
from pytest_llmeval.printable import printed
from pytest_llmeval.run import Run
from pytest_llmeval.schema import PassRule
from pytest_llmeval.workers import is_worker

# They remember failures to run them again; a Finding is no test that could be run.
MEMORIES = ("lfplugin", "stepwiseplugin")


class GateHooks:
    """Registered where there is something to judge."""

    def __init__(self, config: pytest.Config, run: Run, gate: Gate, deselected: frozenset[str]) -> None:
        self._config = config
        self._run = run
        self._gate = gate
        self._deselected = deselected
        self._findings: Sequence[Finding] = ()
        self._changes: dict[str, list[str]] = {}

    # ------------------------------------------------------------------------------------------ single answers

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside our own, which says what is a wrong answer
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        model, problem = model_of(item), problem_of(item, self._run)
        if model is not None and problem is not None and call.when == "call":
            task = Task(problem.problem_set, problem.task_id)
            if self._gate.judges(model, task, self._at_start):
                self._mark(report, model, task)
        return report

    def _mark(self, report: pytest.TestReport, model: str, task: Task) -> None:
        """A wrong answer becomes an expected failure, new or known; a right one may be a fixed one."""
        before = self._passed_before(model, task)
        if getattr(report, "llmeval_wrong", False):
            mark = {True: "new: ", False: "known: ", None: ""}[before]
            report.outcome = "skipped"
            report.wasxfail = f"{mark}{report.longrepr}"
            report.llmeval_says = report.wasxfail  # type: ignore[attr-defined]
        elif report.passed and before is False:
            report.llmeval_says = "fixed: passed"  # type: ignore[attr-defined]

    def _passed_before(self, model: str, task: Task) -> bool | None:
        """Whether the problem passed in the baseline; None where that does not know it."""
        against = self._gate.policy.compare.get(model, model)
        figures = self._gate.baseline.figures(against) if self._gate.baseline else None
        tally = figures.tallies.get(task) if figures else None
        return None if tally is None else PassRule(self._run.options.passing).holds(tally.passed, tally.n)

    @cached_property
    def _at_start(self) -> Scope:
        """What the run is meant to judge; asked for when the plan is made."""
        return self._scope(stopped=False)

    # ---------------------------------------------------------------------------------------------- the verdict

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Judge at the end of the loop, also where -x or Ctrl-C ended it."""
        nothing_runs = selections.nothing_runs(session) or is_worker(self._config)  # the controller judges
        stopped = True
        try:
            result = yield
            stopped = False
            return result
        finally:
            if not nothing_runs:
                self._conclude(session, stopped)

    def _conclude(self, session: pytest.Session, stopped: bool) -> None:
        self._run.close()  # what had arrived is judged and on disk now
        run = read_run(self._run.folder) if self._run.used else NOTHING
        self._findings = self._gate.judge(run, self._scope(stopped))
        self._changes = what_changed(self._gate, run)
        if self._run.used:
            document = findings_document(self._gate, self._findings, self._changes)
            self._run.store.write_json(FINDINGS, document)
        self._report(session)

    def _scope(self, stopped: bool) -> Scope:
        biased = selections.why_biased(self._config, stopped)
        planned = {model: frozenset(Task(*one) for one in asked) for model, asked in self._run.asked.items()}
        registered = dict.fromkeys(self._run.specs)
        # A file of samples stands for the registry: no model of the baseline is gone from it.
        if self._run.options.samples and self._gate.baseline:
            registered.update(dict.fromkeys(self._gate.baseline.first.models))
        return Scope(tuple(registered), planned, biased, stopped, self._deselected)

    def _report(self, session: pytest.Session) -> None:
        config = self._config
        memories = [plugin for name in MEMORIES if (plugin := config.pluginmanager.getplugin(name))]
        tell = config.pluginmanager.subset_hook_caller("pytest_runtest_logreport", memories)
        if session.testscollected:  # else pytest says that nothing ran, which is true
            session.testscollected += len(self._findings)
        for finding in self._findings:
            one, *others = reports_of(finding, self._gate.policy.inconclusive)
            config.hook.pytest_runtest_logstart(nodeid=one.nodeid, location=one.location)
            for report in (one, *others):
                tell(report=report)
            config.hook.pytest_runtest_logfinish(nodeid=one.nodeid, location=one.location)

    # ------------------------------------------------------------------------------------------------- in words

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Any:
        return word_of(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._findings:
            terminalreporter.section("gate")
            in_full = self._config.get_verbosity() > 0
            for line, markup in gate_lines(self._gate, self._findings, self._changes, in_full):
                terminalreporter.write_line(printed(line), **markup)
