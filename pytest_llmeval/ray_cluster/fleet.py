"""The scoring actors at work: who is up, who holds what, who was lost. Knows nothing of ray.

One thread owns everything that changes. It gets events (a job, an actor that is up, an answer, a loss) and hands
batches to actors that are free. A lost actor is started again by its cluster, on another node if need be; what it
held is judged by others meanwhile.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.ray_cluster.dispatch import Dispatch, Job, fault
from pytest_llmeval.ray_cluster.scoring_actor import Asked, Started
from pytest_llmeval.sandbox import Isolation, Level, Limits
from pytest_llmeval.schema import Verdict

CLOSED = "the sandbox was closed"
STRENGTH = list(Level)  # strongest first

Answer = tuple[Started, list[tuple[int, Verdict]]]  # what the actor proved, and Verdicts by number


class Actor(Protocol):
    """One actor as pytest's process sees it."""

    def started(self) -> Future[Started]:
        """What it says once it is up, also after it was lost; an exception where it will not be."""

    def judge(self, batch: Sequence[Asked]) -> Future[Answer]:
        """The answer to a batch; an exception where the actor is lost, or not fit to judge."""

    def kill(self) -> None: ...


@dataclass(frozen=True)
class Patience:
    """Seconds: for the first actor of all (imports and self-test, on a busy machine); for the others after it,
    which join later when there is no core for them yet; for one to come back when all are lost.
    """

    first_s: float = 300.0
    others_s: float = 30.0
    back_s: float = 300.0


@dataclass(eq=False)
class Lane:
    """One actor; `batch` is what it holds. `gone`: it will not come back."""

    actor: Actor
    started: Started | None = None
    batch: Sequence[Asked] = ()
    is_free: bool = False
    gone: bool = False


@dataclass
class Roll:
    """What the actors proved, kept over their losses: a run reports the weakest that could have judged."""

    seen: list[Started] = field(default_factory=list)

    def add(self, started: Started) -> None:
        if started not in self.seen:
            self.seen.append(started)

    @property
    def weakest(self) -> Isolation:
        """The lowest level, and of that the one that proved least; SandboxFault where none is up yet."""
        proven = [started.isolation for started in self.seen if started.isolation]
        if not proven:
            raise SandboxFault("the sandbox was not started: no scoring actor is up")
        return max(proven, key=lambda one: (STRENGTH.index(one.level), -len(one.proven)))

    @property
    def environment(self) -> str:
        return "; ".join(sorted({started.environment for started in self.seen}))


class Fleet:
    """Actors that judge. Futures of jobs always resolve; `ready` tells whether judging can begin."""

    def __init__(
        self,
        actors: Sequence[Actor],
        limits: Callable[[], Limits],
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limits` are asked for when a job without its own is sent."""
        self.roll = Roll()
        self.ready: Future[None] = Future()
        self.losses = 0
        self._limits = limits
        self._patience = patience or Patience()
        self._clock = clock
        self._lanes = [Lane(actor) for actor in actors]
        self._dispatch = Dispatch()
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._ended = False
        self._last_words = ""
        self._away_since = clock()  # since when no actor is up
        self._first_at: float | None = None
        self._thread = threading.Thread(target=self._serve, name="llmeval-ray-scoring", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Callable from any thread."""
        with self._lock:  # after `close` nobody listens any more
            if not self._closed:
                self._events.put(partial(self._dispatch.add, job))
                return
        job.resolve(fault(CLOSED))

    def close(self) -> None:
        """End every actor. May be called again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._events.put(self._end)
        self._thread.join()

    def actors_by_host(self) -> dict[str, Counter[str]]:
        """How many actors are up, by host and level."""
        counted: dict[str, Counter[str]] = {}
        for lane in self._lanes:
            if lane.started and lane.started.isolation and not lane.gone:
                counted.setdefault(lane.started.host, Counter())[str(lane.started.isolation.level)] += 1
        return counted

    # ------------------------------------------------------------------------------- in the fleet's thread

    def _serve(self) -> None:
        for lane in self._lanes:
            self._await(lane)
        while not self._ended:
            try:
                self._events.get(timeout=self._may_wait_s())()
                while not self._events.empty():  # jobs that came together leave together
                    self._events.get()()
            except queue.Empty:
                self._lose_patience()
            self._settle()
            self._feed()
        for lane in self._lanes:
            lane.actor.kill()
        self._dispatch.give_up(CLOSED)
        if not self.ready.done():
            self.ready.set_exception(SandboxFault(CLOSED))

    def _end(self) -> None:
        self._ended = True

    def _await(self, lane: Lane) -> None:
        lane.is_free, lane.batch = False, ()
        self._ask(lane.actor.started, partial(self._came_up, lane))

    def _ask(self, call: Callable[[], Future[Any]], event: Callable[[Future[Any]], None]) -> None:
        """Have `event` called in this thread with what comes of a call, also where that fails at once."""
        try:
            future = call()
        except Exception as error:  # the connection is gone, or whatever else Ray raises
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda done: self._events.put(partial(event, done)))

    def _came_up(self, lane: Lane, done: Future[Started]) -> None:
        if error := done.exception():
            self._drop(lane, f"an actor did not come up: {told(error)}")
            return
        started = done.result()
        if started.refusal:
            self._drop(lane, f"node {started.host}: {started.refusal}")
            if not self.ready.done():  # a node that joins later is left out instead
                self.ready.set_exception(SandboxFault(self._last_words))
            return
        self.roll.add(started)
        lane.started, lane.is_free = started, True
        self._first_at = self._first_at or self._clock()

    def _drop(self, lane: Lane, why: str) -> None:
        self._last_words = why
        lane.gone, lane.is_free = True, False
        lane.actor.kill()

    def _answered(self, lane: Lane, done: Future[Answer]) -> None:
        if error := done.exception():
            self.losses += 1
            self._last_words = f"an actor was lost: {told(error)}"
            self._dispatch.lost(lane.batch, self._last_words)
            self._await(lane)
            return
        lane.started, verdicts = done.result()
        self.roll.add(lane.started)
        self._dispatch.judged(verdicts)
        lane.is_free, lane.batch = True, ()

    def _feed(self) -> None:
        up = sum(lane.is_free or bool(lane.batch) for lane in self._lanes)
        for lane in self._lanes:
            if lane.is_free and (batch := self._dispatch.take(up, self._limits())):
                lane.is_free, lane.batch = False, batch
                self._ask(partial(lane.actor.judge, batch), partial(self._answered, lane))

    def _settle(self) -> None:
        """See who is left, and whether judging can begin."""
        if any(lane.is_free or lane.batch for lane in self._lanes):
            self._away_since = self._clock()
        if all(lane.gone for lane in self._lanes):
            self._give_up(f"no scoring actor is left: {self._last_words}")
        elif not self.ready.done() and all(lane.started or lane.gone for lane in self._lanes):
            self.ready.set_result(None)

    def _may_wait_s(self) -> float | None:
        """How long the thread may wait for an event; None: for ever."""
        now, patience = self._clock(), self._patience
        if self._first_at is None:
            return max(0.0, self._away_since + patience.first_s - now)
        if not self.ready.done():
            return max(0.0, self._first_at + patience.others_s - now)
        if any(lane.is_free or lane.batch for lane in self._lanes):
            return None
        return max(0.0, self._away_since + patience.back_s - now)

    def _lose_patience(self) -> None:
        if self._first_at is not None and not self.ready.done():
            self.ready.set_result(None)
        elif not any(lane.is_free or lane.batch for lane in self._lanes):
            self._away_since = self._clock()
            self._give_up(
                f"no scoring actor is up: {self._last_words or 'the cluster has no free core for one'}"
            )

    def _give_up(self, why: str) -> None:
        self._dispatch.give_up(why)
        if not self.ready.done():
            self.ready.set_exception(SandboxFault(f"--llmeval-ray: {why}"))


def told(error: BaseException) -> str:
    """`ActorDiedError: …`, on one line and of readable length."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
