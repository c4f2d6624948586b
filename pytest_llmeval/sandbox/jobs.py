"""The queue between those who submit samples and the workers: by problem, with a lane for runs alone."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field

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


class Jobs:
    """Jobs of one problem leave together; those that must run alone wait until nothing else runs."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._changed = threading.Condition()
        self._by_problem: OrderedDict[Problem, deque[Job]] = OrderedDict()
        self._alone: deque[Job] = deque()
        self._waiting = 0
        self._running = 0
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

    def take(self) -> list[Job]:
        """Jobs of one problem to run now; blocks until there are some, empty once the queue is closed."""
        with self._changed:
            while True:
                if self._closed:
                    return []
                if self._one_runs_alone:
                    self._changed.wait()
                elif self._by_problem:
                    self._running += 1
                    return self._batch()
                elif self._alone and not self._running:
                    self._running += 1
                    self._one_runs_alone = True
                    return [self._alone.popleft()]
                else:
                    self._changed.wait()

    def _batch(self) -> list[Job]:
        problem, jobs = next(iter(self._by_problem.items()))
        share = max(1, -(-self._waiting // self._workers))
        batch = [jobs.popleft() for _ in range(min(len(jobs), BATCH, share))]
        self._waiting -= len(batch)
        if not jobs:
            del self._by_problem[problem]
        return batch

    def finished(self) -> None:
        """The batch of the last `take` is done with."""
        with self._changed:
            self._running -= 1
            self._one_runs_alone = False
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
