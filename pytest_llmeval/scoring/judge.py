"""Judges the Programs of a run, each against a Problem that is complete."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Protocol

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.problems.expected import Kept, Measured, completed, measuring, read_measured
from pytest_llmeval.sandbox import Isolation, Limits
from pytest_llmeval.schema import Outcome, Problem, Program, Verdict
from pytest_llmeval.scoring.repeats import Repeats, hand_over
from pytest_llmeval.units import MIB

# A canonical solution is trusted and run once: it gets what EvalPlus gives it.
MEASURING = Limits(
    wall_s=900.0, cpu_s=900, memory_bytes=4096 * MIB, output_bytes=64 * MIB, output_kept_bytes=64 * MIB
)


class ProgramExecutor(Protocol):
    """Where programs are judged: the sandbox of this machine, or those of a cluster."""

    @property
    def isolation(self) -> Isolation: ...
    @property
    def environment(self) -> str: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def respawns(self) -> int: ...
    def start(self) -> None: ...
    def submit(self, program: Program, problem: Problem, limits: Limits | None = None) -> Future[Verdict]: ...
    def calibrate(self, problems: Iterable[Problem]) -> Limits: ...
    def close(self) -> None: ...


class Judge:
    """Judges Programs; a problem that asks for it has its canonical solution measured first, once.

    Futures always resolve; what cannot be measured is a fault of every sample of its problem.
    """

    def __init__(self, executor: ProgramExecutor, kept: Kept, fixed_wall: bool = False) -> None:
        """`kept` remembers what was measured earlier; `fixed_wall`: the user's wall limit holds for all problems."""
        self._executor = executor
        self._repeats = Repeats(executor)
        self._kept = kept
        self._fixed_wall = fixed_wall
        self._complete: dict[Problem, Future[Problem]] = {}
        self._lock = threading.Lock()

    def submit(self, program: Program, problem: Problem) -> Future[Verdict]:
        """The verdict of `program`, in time. Callable from any thread."""
        verdict: Future[Verdict] = Future()
        self.complete(problem).add_done_callback(partial(self._submit, program, verdict))
        return verdict

    def _submit(self, program: Program, verdict: Future[Verdict], ready: Future[Problem]) -> None:
        if fault := ready.exception():
            verdict.set_result(Verdict(Outcome.SANDBOX_ERROR, str(fault)))
            return
        self._repeats.submit(program, ready.result()).add_done_callback(partial(hand_over, verdict))

    def complete(self, problem: Problem) -> Future[Problem]:
        """The problem with what its tests and limits need; a SandboxFault where that cannot be found out."""
        with self._lock:
            known = self._complete.get(problem)
            if known is not None:
                return known
            ready = self._complete[problem] = Future[Problem]()
        if problem.measures == "nothing":
            ready.set_result(problem)
        elif (measured := self._kept.load(problem)) is not None:
            ready.set_result(self._completed(problem, measured))
        else:
            self._executor.submit(*measuring(problem), MEASURING).add_done_callback(
                partial(self._measured, problem, ready)
            )
        return ready

    def _measured(self, problem: Problem, ready: Future[Problem], done: Future[Verdict]) -> None:
        verdict = done.result()
        try:
            if not verdict.passed:
                raise ValueError(f"{verdict.outcome}: {verdict.detail}")
            measured = read_measured(verdict.output)
            self._kept.save(problem, measured)
            ready.set_result(self._completed(problem, measured))
        except Exception as error:  # an exception in a future's callback would be swallowed
            where = f"{problem.problem_set}, {problem.task_id}"
            ready.set_exception(SandboxFault(f"{where}: the canonical solution has no answers: {error}"))

    def _completed(self, problem: Problem, measured: Measured) -> Problem:
        whole = completed(problem, measured)
        return replace(whole, wall_s=None) if self._fixed_wall else whole
