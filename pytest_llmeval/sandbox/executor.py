"""Judges Programs on warm workers: one thread per worker takes samples and resolves their futures."""

from __future__ import annotations

import queue
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox import selftest
from pytest_llmeval.sandbox.calibration import fitted
from pytest_llmeval.sandbox.cores import lanes, usable
from pytest_llmeval.sandbox.interpreter import Interpreter, describe
from pytest_llmeval.sandbox.isolation import Isolation, Level
from pytest_llmeval.sandbox.jobs import Batch, Job, Jobs, fault
from pytest_llmeval.sandbox.launch import Means
from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.sandbox.worker import Calls, Task, Unclear, Worker
from pytest_llmeval.schema import Outcome, Problem, Program, Verdict

AUTO = (Level.NAMESPACES, Level.LANDLOCK, Level.SECCOMP)
CHOICES = {
    "auto": AUTO,
    "require-A": (Level.NAMESPACES,),
    **{level.value: (level,) for level in Level},
}
# Of the general wall limit, which is far from what right programs take: endless ones are told from others at less cost,
# and the try that decides has the whole of it. Limits of one problem may be near to what its solutions take.
FIRST_TRY = 1 / 3
LOSSES_ALLOWED = 1


class Executor:
    """Judges Programs. `close()`, and the end of this process, kill every worker with all it forked."""

    def __init__(
        self,
        level: str = "auto",
        workers: int | None = None,
        limits: Limits | None = None,
        python: str = sys.executable,
        site: Iterable[str] = (),
        engines_use: Callable[[], int] = lambda: 0,
    ) -> None:
        """`python` runs the samples; `site` names the package directories they may import from.

        `engines_use` counts the processors that engines of this run keep busy at the moment: samples keep off so
        many, up to half of all.
        """
        if level not in CHOICES:
            raise SandboxFault(f"unknown sandbox level {level!r}; there are: {', '.join(CHOICES)}")
        self._choice = level
        self._workers = workers or usable()
        self._limits = limits or Limits()
        self._python, self._site = python, tuple(site)
        self._jobs = Jobs(self._workers, lanes(), engines_use)
        self._calls = Calls()
        self._started: list[_Thread] = []
        self._isolation: Isolation | None = None
        self._interpreter: Interpreter | None = None

    @property
    def isolation(self) -> Isolation:
        """What holds samples in, as the self-test found it; SandboxFault before `start`."""
        if self._isolation is None:
            raise SandboxFault("the sandbox was not started: call Executor.start() first")
        return self._isolation

    @property
    def environment(self) -> str:
        """What programs may import, for the record: interpreter, version and declared packages."""
        return str(self._interpreter) if self._interpreter else self._python

    @property
    def limits(self) -> Limits:
        """What a sample may use where `submit` names no limits of its own."""
        return self._limits

    @property
    def respawns(self) -> int:
        """How many workers were lost and replaced so far."""
        return sum(thread.respawns for thread in self._started)

    def start(self) -> None:
        """Start every worker at the strongest level that proves itself; SandboxFault where none does.

        May be called from any thread: workers belong to threads of their own. Again, it does nothing.
        """
        if self._started:
            return
        self._interpreter = describe(self._python, self._site)
        refusals = []
        for means in Means:
            if means.level not in CHOICES[self._choice]:
                continue
            try:
                self._isolation = self._start_by(means, self._interpreter)
            except SandboxFault as refusal:
                refusals.append(f"{means.level}: {refusal}")
            else:
                return
        raise SandboxFault(
            f"no isolation for untrusted code here (asked for: {self._choice}). Tried " + "; ".join(refusals)
            + ". Without isolation, code that a model wrote would run with your rights, your files and your "
            "network: --llmeval-sandbox=C allows that, with resource limits only."
        )  # fmt: skip

    def _start_by(self, means: Means, interpreter: Interpreter) -> Isolation:
        make = partial(Worker, means, interpreter, self._limits, self._calls)
        prove = partial(selftest.prove, means=means, limits=self._limits)
        threads = [_Thread(index, self._jobs, make, prove) for index in range(self._workers)]
        for thread in threads:
            thread.start()
        outcomes = [thread.outcome.get() for thread in threads]
        refusals = [outcome for outcome in outcomes if isinstance(outcome, SandboxFault)]
        proven = [outcome for outcome in outcomes if isinstance(outcome, Isolation)]
        for thread in threads:
            thread.go_on.put(not refusals)
        if refusals:
            for thread in threads:
                thread.join()
            raise refusals[0]
        self._started = threads
        weakref.finalize(self, _stop, self._jobs, threads)
        return proven[0]

    def submit(self, program: Program, problem: Problem, limits: Limits | None = None) -> Future[Verdict]:
        """The verdict of `program`, in time. Callable from any thread; the future always resolves."""
        whole = limits or self._limits.lasting(problem.wall_s)
        first = replace(whole, wall_s=whole.wall_s * FIRST_TRY) if whole is self._limits else whole
        job = Job(Task(program, problem, first), whole)
        job.future.set_running_or_notify_cancel()
        if not self._jobs.add(job):
            job.resolve(fault("the sandbox was closed"))
        return job.future

    def calibrate(self, problems: Iterable[Problem]) -> Limits:
        """Fit the wall limit to this machine: what the slowest canonical solution takes, times a factor."""
        self._limits = fitted(self._limits, problems, self.submit)
        return self._limits

    def close(self) -> None:
        """Kill every worker and what it forked; samples still waiting become faults. May be called again."""
        _stop(self._jobs, self._started)
        for thread in self._started:
            thread.join()


def _stop(jobs: Jobs, threads: list[_Thread]) -> None:
    for job in jobs.close():
        job.resolve(fault("the sandbox was closed"))
    for thread in threads:
        thread.interrupt()


class _Thread(threading.Thread):
    """Owns one worker: starts it, proves it, replaces it when it is lost.

    The worker must be started here: the kernel kills it with the thread that started it.
    """

    def __init__(
        self, index: int, jobs: Jobs, make: Callable[[], Worker], prove: Callable[[Worker], Isolation]
    ) -> None:
        super().__init__(name=f"llmeval-sandbox-{index}", daemon=True)
        self._jobs = jobs
        self._make, self._prove = make, prove
        self._worker: Worker | None = None
        self._stopping = False
        self.outcome: queue.SimpleQueue[Isolation | SandboxFault] = queue.SimpleQueue()
        self.go_on: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.respawns = 0

    def run(self) -> None:
        try:
            self._worker = self._make()
            self.outcome.put(self._prove(self._worker))
        except SandboxFault as refusal:
            self.outcome.put(refusal)
        except Exception as error:
            self.outcome.put(SandboxFault(f"the worker did not start: {error!r}"))
        try:
            if self.go_on.get():
                self._serve()
        finally:
            if self._worker is not None:
                self._worker.close()

    def interrupt(self) -> None:
        """End what is under way; called from other threads."""
        self._stopping = True
        worker = self._worker
        if worker is not None:
            worker.interrupt()

    def _serve(self) -> None:
        while batch := self._jobs.take():
            try:
                self._judge(batch)
            finally:
                self._jobs.finished(batch)

    def _judge(self, batch: Batch) -> None:
        """Resolve the batch's jobs; what a lost worker leaves goes back to the queue."""
        left = list(batch.jobs)
        try:
            if self._worker is None:
                self._worker = self._make()
            for verdict in self._worker.judge([job.task for job in batch.jobs], batch.cores):
                self._settle(left.pop(0), verdict)
        except Exception as error:  # whatever it is: every job must still be resolved
            self._replace()
            if left:
                self._again(left.pop(0), f"the worker was lost: {error}")
            for job in reversed(left):
                self._requeue(job, first=True)

    def _replace(self) -> None:
        lost, self._worker = self._worker, None
        if lost is not None:
            lost.close()
        self.respawns += 1

    def _settle(self, job: Job, verdict: Verdict | SandboxFault | Unclear) -> None:
        if isinstance(verdict, SandboxFault):
            self._again(job, str(verdict))
        elif isinstance(verdict, Unclear):
            job.task = replace(job.task, live=True)
            self._requeue(job, first=True)
        elif verdict.outcome is Outcome.TIMEOUT and not job.alone:
            job.be_alone()  # others may have slowed it down
            self._requeue(job)
        else:
            job.resolve(verdict)

    def _again(self, job: Job, why: str) -> None:
        job.losses += 1
        if job.losses > LOSSES_ALLOWED:
            job.resolve(fault(why))
        else:
            self._requeue(job, first=True)

    def _requeue(self, job: Job, first: bool = False) -> None:
        if self._stopping or not self._jobs.add(job, first):
            job.resolve(fault("the sandbox was closed"))
