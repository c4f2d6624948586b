"""Ways of sending requests: so many at a time, or as they arrive by chance."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from pytest_llmeval.engines import Engine
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import Completion, Request

Told = Callable[[int], None]  # how many answers have come


@dataclass(frozen=True)
class Answers:
    """What came back: completions, the refusals of others, and the time from first sending to last answer."""

    completions: Sequence[Completion]
    failures: Sequence[str]
    seconds: float


class Collector:
    """Counts and times answers as they come, in the engine's threads. `wait` blocks until all have come."""

    def __init__(self, clock: Callable[[], float], told: Told) -> None:
        self._clock = clock
        self._told = told
        self._changed = threading.Condition()
        self._pending = 0
        self._completions: list[Completion] = []
        self._failures: list[str] = []
        self._first_at: float | None = None
        self._last_at = 0.0

    def send(self, engine: Engine, request: Request) -> None:
        with self._changed:
            self._pending += 1
            self._first_at = self._clock() if self._first_at is None else self._first_at
        engine.submit(request).add_done_callback(self._take)

    def _take(self, done: Future[Completion]) -> None:
        now, error = self._clock(), done.exception()
        with self._changed:
            self._pending -= 1
            self._last_at = now
            if error is None:
                self._completions.append(done.result())
            else:
                self._failures.append(str(error))
            self._changed.notify_all()

    def wait(self, most_pending: int) -> None:
        """Until no more than `most_pending` answers are missing."""
        with self._changed:
            while self._pending > most_pending:
                self._changed.wait(0.25)
                self._told(len(self._completions))

    def answers(self) -> Answers:
        """Everything that came.

        Raises:
            EngineFault: nothing came but failures.
        """
        if self._failures and not self._completions:
            raise EngineFault(self._failures[0])
        return Answers(self._completions, self._failures, self._last_at - (self._first_at or 0.0))


def closed_loop(
    engine: Engine,
    requests: Iterable[Request],
    concurrency: int,
    told: Told,
    clock: Callable[[], float] = time.monotonic,
) -> Answers:
    """Always `concurrency` requests under way: the next is sent when an answer has come.

    Raises:
        EngineFault: the engine answered none of them.
    """
    collector = Collector(clock, told)
    for request in requests:
        collector.wait(concurrency - 1)
        collector.send(engine, request)
    collector.wait(0)
    return collector.answers()


def open_loop(
    engine: Engine,
    requests: Sequence[Request],
    rate_per_s: float,
    seed: int,
    told: Told,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Answers:
    """Requests arrive by a Poisson process, whether or not earlier ones were answered.

    Raises:
        EngineFault: the engine answered none of them.
    """
    collector = Collector(clock, told)
    started = clock()
    for request, due_s in zip(requests, arrivals(rate_per_s, seed), strict=False):
        if (early_s := started + due_s - clock()) > 0:
            sleep(early_s)
        collector.send(engine, request)
    collector.wait(0)
    return collector.answers()


def arrivals(rate_per_s: float, seed: int) -> Iterator[float]:
    """Seconds of each arrival: gaps are exponential with mean 1/rate; the first comes at once."""
    drawn, due_s = random.Random(f"arrivals/{seed}"), 0.0
    while True:
        yield due_s
        due_s += drawn.expovariate(rate_per_s)
