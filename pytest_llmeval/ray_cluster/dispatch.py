"""Who judges what: Jobs in batches to actors, and from a lost actor to the others. Knows nothing of ray."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from pytest_llmeval.ray_cluster.scoring_actor import Asked
from pytest_llmeval.sandbox import Limits
from pytest_llmeval.schema import Outcome, Problem, Program, Verdict

LARGEST_BATCH = 32
LOSSES_ALLOWED = 2  # with its batch, and once more by itself


@dataclass(slots=True, eq=False)
class Job:
    """A Program that somebody waits for. `losses` counts actors that were lost while they held it."""

    program: Program
    problem: Problem
    limits: Limits | None  # None: what holds when it is sent
    future: Future[Verdict] = field(default_factory=Future)
    losses: int = 0

    def resolve(self, verdict: Verdict) -> None:
        """Hand the verdict over, once: the second of two that judged it is not heard."""
        if not self.future.done():
            self.future.set_result(verdict)


class Dispatch:
    """What waits and what is under way. Not thread-safe: one thread owns it.

    Batches shrink with what waits, so that all actors finish together; where plenty waits they hold
    LARGEST_BATCH, which makes the way there and back one part in a hundred of the judging. A job whose actor was
    lost goes alone next time: if it did that, it takes nobody with it again.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._waiting: deque[Job] = deque()
        self._suspects: deque[Job] = deque()
        self._held: dict[int, Job] = {}

    def add(self, job: Job) -> None:
        self._waiting.append(job)

    @property
    def idle(self) -> bool:
        """True where nothing waits to be sent."""
        return not self._waiting and not self._suspects

    def take(self, actors: int, limits: Limits) -> list[Asked]:
        """The next batch for one of `actors`; empty where nothing waits. `limits` hold for jobs without their own."""
        if self._suspects:
            jobs = [self._suspects.popleft()]
        else:
            share = -(-len(self._waiting) // (2 * max(1, actors)))
            jobs = [self._waiting.popleft() for _ in range(min(share, LARGEST_BATCH))]
        return [self._sent(job, limits) for job in jobs]

    def _sent(self, job: Job, limits: Limits) -> Asked:
        number = next(self._numbers)
        self._held[number] = job
        return Asked(number, job.program, job.problem, job.limits or limits.lasting(job.problem.wall_s))

    def judged(self, verdicts: Sequence[tuple[int, Verdict]]) -> None:
        """An actor's answer to its batch."""
        for number, verdict in verdicts:
            if (job := self._held.pop(number, None)) is not None:
                job.resolve(verdict)

    def lost(self, batch: Sequence[Asked], why: str) -> None:
        """The actor that held a batch gives no answer any more: others will."""
        for one in batch:
            job = self._held.pop(one.number, None)
            if job is None:
                continue
            job.losses += 1
            if job.losses > LOSSES_ALLOWED:
                job.resolve(fault(f"every actor that was to judge it was lost, {job.losses} in all: {why}"))
            else:
                self._suspects.append(job)

    def give_up(self, why: str) -> None:
        """Nobody will judge what is left."""
        for job in (*self._waiting, *self._suspects, *self._held.values()):
            job.resolve(fault(why))
        self._waiting.clear()
        self._suspects.clear()
        self._held.clear()


def fault(detail: str) -> Verdict:
    """A verdict about the machinery, not about the program."""
    return Verdict(Outcome.SANDBOX_ERROR, detail)
