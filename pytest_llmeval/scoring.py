"""The sandbox's executor, started and fitted to the machine in the background while the first model loads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.options import Options
from pytest_llmeval.problems.expected import Kept, Measured, completed, measuring, read_measured
from pytest_llmeval.problems.sources import cache_folder
from pytest_llmeval.sandbox import Executor, Isolation, Limits
from pytest_llmeval.schema import Outcome, Problem, Program, Verdict

MIB = 1 << 20
# A canonical solution is trusted and run once: it gets what EvalPlus gives it.
MEASURING = Limits(
    wall_s=900.0, cpu_s=900, memory_bytes=4096 * MIB, output_bytes=64 * MIB, output_kept_bytes=64 * MIB
)


class Judge:
    """Judges Programs; a problem that asks for it has its canonical solution measured first, once.

    Futures always resolve; what cannot be measured is a fault of every sample of its problem.
    """

    def __init__(self, executor: Executor, kept: Kept, fixed_wall: bool = False) -> None:
        """`kept` remembers what was measured earlier; `fixed_wall`: the user's wall limit holds for all problems."""
        self._executor = executor
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
        judging = self._executor.submit(program, ready.result())
        judging.add_done_callback(lambda done: verdict.set_result(done.result()))

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


class BackgroundExecutor:
    """An executor that starts without making anyone wait until it is needed."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._starting: Future[Executor] | None = None
        self._lock = threading.Lock()
        self._judge: Judge | None = None

    def start(self, problems: Sequence[Problem] = ()) -> None:
        """Start; then get ready for `problems`: measure those that ask for it, fit the wall limit to the others."""
        if self._starting is None:
            pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-start")
            self._starting = pool.submit(self._start)
            pool.submit(self._get_ready, problems)
            pool.shutdown(wait=False)

    def _start(self) -> Executor:
        options = self._options
        executor = Executor(
            level=options.sandbox,
            workers=options.sandbox_workers,
            limits=Limits(**options.sandbox_limits),  # type: ignore[arg-type]  # options.py keeps whole numbers whole
            site=[str(path) for path in options.sandbox_site],
        )
        executor.start()
        return executor

    def _get_ready(self, problems: Sequence[Problem]) -> None:
        if self.failed:
            return
        for problem in problems:
            self.judge().complete(problem)
        if not self._wall_is_fixed:
            self.get().calibrate([p for p in problems if p.measures == "nothing" and p.wall_s is None])

    @property
    def _wall_is_fixed(self) -> bool:
        return "wall_s" in self._options.sandbox_limits

    @property
    def failed(self) -> bool:
        return self._starting is not None and self._starting.done() and self._starting.exception() is not None

    def get(self) -> Executor:
        """The started executor.

        Raises:
            SandboxFault: no allowed isolation level works here.
        """
        self.start()
        assert self._starting is not None
        return self._starting.result()

    def judge(self) -> Judge:
        """What judges in a run.

        Raises:
            SandboxFault: no allowed isolation level works here.
        """
        executor = self.get()
        with self._lock:
            if self._judge is None:
                kept = Kept(cache_folder() / "answers", executor.environment)
                self._judge = Judge(executor, kept, self._wall_is_fixed)
            return self._judge

    @property
    def isolation(self) -> Isolation | None:
        """What proved itself; None while that is not known."""
        ready = self._starting is not None and self._starting.done() and not self.failed
        return self.get().isolation if ready else None

    def describe(self) -> dict[str, Any] | None:
        """Isolation, limits and what programs may import, for the manifest; None where it did not start."""
        if self.isolation is None:
            return None
        executor = self.get()
        return {
            **asdict(executor.isolation),
            "limits": asdict(executor.limits.resolved()),
            "environment": executor.environment,
            "workers_replaced": executor.respawns,
        }

    def close(self) -> None:
        if self._starting is not None and not self._starting.exception():
            self._starting.result().close()
