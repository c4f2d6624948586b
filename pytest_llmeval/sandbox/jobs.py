"""The queue between those who submit samples and the workers: by problem, with lanes for runs alone."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from pytest_llmeval.sandbox.cores import Lane
from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.sandbox.worker import Task
from pytest_llmeval.schema import Outcome, Problem, Verdict

BATCH = 16  # samples of one problem that share a checker


@dataclass(slots=True, eq=False)
class Job:
    """A Task on its way to a Verdict. `limits` are those of the try that decides, where the first has others."""

    task: Task
    limits: Limits | None = None
    future: Future[Verdict] = field(default_factory=Future)
    losses: int = 0
    alone: bool = False

    def be_alone(self) -> None:
        """Once more, with a core to itself and the whole limits."""
        self.alone = True
        self.task = replace(self.task, live=True, alone=True, limits=self.limits or self.task.limits)

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

    def may_touch(self, lane: Lane) -> bool:
        return not self.cores or not set(self.cores).isdisjoint(lane)


class Jobs:
    """Jobs of one problem leave together; those that must run alone have a core each to themselves.

    While others wait, one core is theirs. Where there is only one they go first, and one that must run alone waits
    until nothing else runs; while it does, everything else waits.

    Engines that compute meanwhile have cores to themselves, up to half of all: the others are ours.
    """

    def __init__(
        self, workers: int, lanes: Sequence[Lane] = (), engines_use: Callable[[], int] = lambda: 0
    ) -> None:
        """`lanes` are the physical cores; `engines_use` counts the processors that engines keep busy at the moment."""
        self._workers = workers
        self._engines_use = engines_use
        self._lanes: Sequence[Lane] = lanes if workers > 1 and len(lanes) > 1 else ((),)  # (): the machine
        self._changed = threading.Condition()
        self._by_problem: OrderedDict[Problem, deque[Job]] = OrderedDict()
        self._alone: deque[Job] = deque()
        self._waiting = 0
        self._running: list[Batch] = []
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
                if (batch := self._next()) is not None:
                    self._running.append(batch)
                    return batch
                self._changed.wait()
            return None

    def _next(self) -> Batch | None:
        ours = self._ours()
        if len(ours) < len(self._lanes) and len(self._running) >= sum(map(len, ours)):
            return None
        lanes = self._kept_free(ours)
        free = [lane for lane in lanes if not any(batch.may_touch(lane) for batch in self._running)]
        if self._alone and free:
            return Batch([self._alone.popleft()], alone=True, cores=free[-1])
        taken = {*lanes, *(batch.cores for batch in self._running if batch.alone)}
        left = [lane for lane in ours if lane not in taken]
        if self._by_problem and left:
            whole = len(left) == len(self._lanes)
            return self._together(() if whole else tuple(cpu for lane in left for cpu in lane))
        return None

    def _ours(self) -> Sequence[Lane]:
        """The lanes that are not left to engines."""
        left, used = len(self._lanes), self._engines_use()
        while used > 0 and left > 1 and 2 * (left - 1) >= len(self._lanes):
            left -= 1
            used -= len(self._lanes[left])
        return self._lanes[:left]

    def _kept_free(self, ours: Sequence[Lane]) -> Sequence[Lane]:
        """One lane for each that runs alone or waits to, as far as they go."""
        lanes = ours[1:] if self._by_problem else ours
        wanted = len(self._alone) + sum(batch.alone for batch in self._running)
        return lanes[max(0, len(lanes) - wanted) :]

    def _together(self, cores: tuple[int, ...]) -> Batch:
        problem, jobs = next(iter(self._by_problem.items()))
        share = max(1, -(-self._waiting // self._workers))
        batch = [jobs.popleft() for _ in range(min(len(jobs), BATCH, share))]
        self._waiting -= len(batch)
        if not jobs:
            del self._by_problem[problem]
        return Batch(batch, cores=cores)

    def finished(self, batch: Batch) -> None:
        """A batch of `take` is done with."""
        with self._changed:
            self._running = [running for running in self._running if running is not batch]
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
