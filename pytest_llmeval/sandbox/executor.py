"""Judges Programs on warm workers: one thread per worker hands samples to it and resolves their futures."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import asdict, dataclass

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox.isolation import Isolation, Level
from pytest_llmeval.sandbox.limits import Limits, calibrated
from pytest_llmeval.sandbox.zygote import Zygote
from pytest_llmeval.schema import Channel, Outcome, Problem, Program, Verdict

GRACE_S = 5.0
CALIBRATION_FACTOR = 10.0


@dataclass(slots=True)
class _Job:
    program: Program
    problem: Problem
    limits: Limits
    future: Future[Verdict]
    attempts: int = 0


class Executor:
    """Judges Programs. `close()` kills every worker with everything it forked."""

    def __init__(
        self,
        level: str = "auto",
        workers: int | None = None,
        limits: Limits | None = None,
        python: str = sys.executable,
        site: Iterable[str] = (),
    ) -> None:
        self._level = level
        self._workers = workers or len(os.sched_getaffinity(0))
        self._limits = limits or Limits()
        self._python = python
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._isolation: Isolation | None = None

    @property
    def isolation(self) -> Isolation:
        """What holds samples in; SandboxFault before `start`."""
        if self._isolation is None:
            raise SandboxFault("the sandbox was not started: call Executor.start() first")
        return self._isolation

    def start(self) -> None:
        """Start every worker; SandboxFault where the interpreter does not start."""
        ready: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for index in range(self._workers):
            thread = threading.Thread(target=self._work, args=(ready,), name=f"sandbox-{index}", daemon=True)
            thread.start()
            self._threads.append(thread)
        failures = [failure for failure in (ready.get() for _ in self._threads) if failure]
        if failures:
            self.close()
            raise failures[0]
        self._isolation = Isolation(Level.RLIMITS, "open", "open", "inline")

    def submit(self, program: Program, problem: Problem, limits: Limits | None = None) -> Future[Verdict]:
        """The verdict of `program`, in time; never hangs, never raises."""
        job = _Job(program, problem, limits or self._limits, Future())
        self._jobs.put(job)
        return job.future

    def calibrate(self, problems: Iterable[Problem]) -> Limits:
        """Fit the wall limit to this machine: the slowest canonical solution, times a factor."""
        verdicts = [
            self.submit(Program(p.prompt + p.canonical_solution, "canonical"), p).result() for p in problems
        ]
        self._limits = calibrated(
            self._limits,
            [v.wall_s for v in verdicts if v.passed and v.wall_s is not None],
            CALIBRATION_FACTOR,
        )
        return self._limits

    def close(self) -> None:
        """Kill every worker and what it forked. May be called again."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _work(self, ready: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            zygote = Zygote(self._python, {})
        except SandboxFault as fault:
            ready.put(fault)
            return
        ready.put(None)
        while (job := self._jobs.get()) is not None:
            try:
                verdict = _judge(zygote, job)
            except OSError as error:
                zygote.close()
                zygote = Zygote(self._python, {})
                job.attempts += 1
                if job.attempts < 2:
                    self._jobs.put(job)
                    continue
                verdict = Verdict(Outcome.SANDBOX_ERROR, f"the worker was lost twice: {error!r}")
            job.future.set_result(verdict)
        zygote.close()


def _judge(zygote: Zygote, job: _Job) -> Verdict:
    problem = job.problem
    source = f"{job.program.source}\n{problem.test}\ncheck({problem.entry_point})"
    zygote.send({"id": 0, "source": source, "limits": asdict(job.limits)})
    report = zygote.receive(job.limits.wall_s + GRACE_S)
    return _verdict(report)


def _verdict(report: dict[str, object]) -> Verdict:
    outcome, detail = Outcome.KILLED, f"ended with code {report['code']} without a verdict"
    if report["status"] in ("timeout", "output_limit"):
        outcome, detail = Outcome(str(report["status"])), ""
    elif report["verdict"]:
        name, _, detail = str(report["verdict"]).partition(" ")
        outcome = Outcome(name)
    return Verdict(outcome, detail, str(report["output"]), float(str(report["wall_s"])), Channel.INLINE)
