"""The queue between those who submit samples and the workers: by problem, with a lane for runs alone."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from pytest_llmeval.sandbox.cores import Lanes
from pytest_llmeval.sandbox.worker import Task
from pytest_llmeval.schema import Outcome, Problem, Verdict

BATCH = 16  # samples of one problem that share a checker


@dataclass(slots=True, eq=False)
class Job:
    """A Task on its way to a Verdict."""

    task: Task
    future: Future[Verdict] = field(default_factory=Future)
    losses: int = 0
    alone: bool = False

    def resolve(self, verdict: Verdict) -> None:
        """Hand the verdict over, once; a future that its owner cancelled is left alone."""
        if not self.future.done():
            self.future.set_result(verdict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs of one problem to run now, on these cores only (none named: on any)."""

    jobs: list[Job]
    alone: bool = False
    cores: tuple[int, ...] = ()


class Jobs:
    """Jobs of one problem leave together; those that must run alone have a core to themselves.

    Where there is no core to spare they wait until nothing else runs, and everything else waits for them.
    """

    def __init__(self, workers: int, lanes: Lanes | None = None) -> None:
        self._workers = workers
        self._lanes = lanes if workers > 1 else None
        self._changed = threading.Condition()
        self._by_problem: OrderedDict[Problem, deque[Job]] = OrderedDict()
        self._alone: deque[Job] = deque()
        self._waiting = 0
        self._running = 0
        self._on_any_core = 0  # running batches that may be on the core that is to be kept free
        self._one_runs_alone = False
        self._closed = False

    def add(self, job: Job, first: bool = False) -> bool:
        """Queue a job; False where the queue was closed."""
        with self._changed:
            if self._closed:
                return False
            if job.alone:
                self._alone.append(job)
            else:
                self._waiting += 1
                jobs = self._by_problem.setdefault(job.task.problem, deque())
                jobs.appendleft(job) if first else jobs.append(job)
            self._changed.notify()
            return True

    def take(self) -> Batch | None:
        """What to run now; blocks until there is something, None once the queue is closed."""
        with self._changed:
            while not self._closed:
                if self._one_may_run_alone():
                    return self._one_alone()
                if self._by_problem and (self._lanes or not self._one_runs_alone):
                    return self._batch()
                self._changed.wait()
            return None

    def _one_may_run_alone(self) -> bool:
        if not self._alone or self._one_runs_alone:
            return False
        return not self._on_any_core if self._lanes else not (self._running or self._by_problem)

    def _one_alone(self) -> Batch:
        self._running += 1
        self._one_runs_alone = True
        return Batch([self._alone.popleft()], alone=True, cores=self._lanes.alone if self._lanes else ())

    def _batch(self) -> Batch:
        self._running += 1
        problem, jobs = next(iter(self._by_problem.items()))
        share = max(1, -(-self._waiting // self._workers))
        batch = [jobs.popleft() for _ in range(min(len(jobs), BATCH, share))]
        self._waiting -= len(batch)
        if not jobs:
            del self._by_problem[problem]
        if self._lanes and (self._alone or self._one_runs_alone):
            return Batch(batch, cores=self._lanes.others)
        self._on_any_core += 1
        return Batch(batch)

    def finished(self, batch: Batch) -> None:
        """A batch of `take` is done with."""
        with self._changed:
            self._running -= 1
            if batch.alone:
                self._one_runs_alone = False
            elif not batch.cores:
                self._on_any_core -= 1
            self._changed.notify_all()

    def close(self) -> list[Job]:
        """Wake everyone who waits, for good; the jobs that nobody will run."""
        with self._changed:
            self._closed = True
            left = [job for jobs in self._by_problem.values() for job in jobs] + list(self._alone)
            self._by_problem.clear()
            self._alone.clear()
            self._changed.notify_all()
            return left


def fault(detail: str) -> Verdict:
    """A verdict about the sandbox, not about the program."""
    return Verdict(Outcome.SANDBOX_ERROR, detail)
