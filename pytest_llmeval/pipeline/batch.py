"""One model's batch on its way: which answers have come, which Records are whole."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from pytest_llmeval.engines import Engine, EngineInfo, EngineStatus
from pytest_llmeval.pipeline.asking import Question, record_id_of
from pytest_llmeval.schema import Completion, ModelSpec, Problem, Program, RecordId, Task, Verdict

WINDOW = 4096
"""Answers of one model that are asked for or wait to be judged at a time: more than an engine works on at once, and
what keeps memory the same for a thousand answers and for a million."""

JUDGED_AT_ONCE = 1024
"""Answers that are with the sandbox at a time: more than its workers have in hand, even those of a cluster. An answer
that only waits costs a tenth of one with its program and futures."""


class Scorer(Protocol):
    """What judges Programs; the sandbox's Executor in a run."""

    def submit(self, program: Program, problem: Problem) -> Future[Verdict]: ...


@dataclass
class Batch:
    """All selected problems of one model, from submission to the last verdict.

    `futures` says for each problem that its Record is stored; `expected` is how many answers its engine is to give;
    `seconds` is first submission to last completion, without pauses for judging. Where every answer is reused, there
    is no engine; where a run judges nothing, there is no scorer. `settled` counts answers that are judged, or lost.
    `reused` counts answers of an earlier run, `judged_again` those of them whose verdict could not be reused.
    """

    spec: ModelSpec
    engine: Engine | None
    scorer: Scorer | None
    info: EngineInfo
    tasks: Sequence[Task]
    futures: Mapping[RecordId, Future[RecordId]]
    expected: int
    submitted_at: float = 0.0
    last_completion_at: float = 0.0
    submitted: int = 0
    arrived: int = 0
    finished: int = 0
    settled: int = 0
    paused_s: float = 0.0
    paused_at: float | None = None
    reused: int = 0
    judged_again: int = 0
    submitting: bool = False
    tokens: int = 0
    waiting: Iterator[Question] = field(
        default_factory=lambda: iter(())
    )  # questions that nobody has asked yet
    asked: set[Future[Completion]] = field(default_factory=set)  # those whose answer has not come
    held: deque[Callable[[], None]] = field(default_factory=deque)  # scorings that wait for their time
    judging: int = 0  # scorings that have begun
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_turn(self, concurrency: int | None) -> Question | None:
        """The next question, where one waits, nobody else is submitting and fewer are in flight."""
        with self.lock:
            full = concurrency is not None and self.submitted - self.arrived >= concurrency
            if self.submitting or full or self.paused_at is not None:
                return None
            if self.submitted - self.settled >= WINDOW:
                return None
            question = next(self.waiting, None)
            self.submitting = question is not None
            self.submitted += question is not None
            return question

    def lose(self) -> None:
        """An answer will not come: there is nothing to judge."""
        with self.lock:
            self.settled += 1

    def settle(self, reused: bool = False) -> bool:
        """An answer is judged, or will not be; true where others may be asked or judged now that could not before.

        `reused`: it is an earlier run's, and nobody was asked for it.
        """
        with self.lock:
            self.judging -= 1
            if reused:
                return bool(self.held)
            was_full = self.submitted - self.settled >= WINDOW
            self.settled += 1
            if self.paused_at is not None and self.settled >= self.arrived:
                self.paused_s += time.monotonic() - self.paused_at
                self.paused_at = None
                return True
            return bool(self.held) or (was_full and self.paused_at is None)

    def add(
        self, tasks: Sequence[Task], futures: Mapping[RecordId, Future[RecordId]], more: Iterator[Question]
    ) -> None:
        """Further tasks, asked after those that wait."""
        with self.lock:
            self.tasks = [*self.tasks, *tasks]
            self.futures = {**self.futures, **futures}
            self.expected += sum(task.sampling.n for task in tasks)
            self.waiting = chain(self.waiting, more)

    def sent(self, future: Future[Completion]) -> None:
        """The turn's question is with the engine; `future` is its answer."""
        with self.lock:
            self.asked.add(future)

    def end_turn(self) -> None:
        with self.lock:
            self.submitting = False

    def stop(self) -> tuple[list[Question], list[Future[Completion]]]:
        """Ask nothing more; what nobody has asked yet, and what was asked and not answered."""
        with self.lock:
            unasked = list(self.waiting)
            self.expected = self.submitted
            return unasked, list(self.asked)

    def release(self, after: bool) -> list[Callable[[], None]]:
        """The scorings whose time has come: at once, or with `after` when no further answer will come.

        With `after`, a whole window of answers is also judged before the engine is asked for more: it idles then, and
        that time is none of its own.
        """
        with self.lock:
            if after and self.arrived < self.expected and self.paused_at is None:
                if self.arrived - self.settled < WINDOW:
                    return []
                self.paused_at = time.monotonic()
            room = JUDGED_AT_ONCE - self.judging
            ready = [self.held.popleft() for _ in range(min(room, len(self.held)))]
            self.judging += len(ready)
            return ready

    @property
    def status(self) -> EngineStatus:
        """How its engine fares."""
        return self.engine.status if self.engine else EngineStatus()

    @property
    def is_answering(self) -> bool:
        """True while its engine works on answers."""
        return self.engine is not None and self.arrived < self.expected and self.paused_at is None

    @property
    def drained(self) -> bool:
        """True once every answer has come and was judged, or will never come: engine and sandbox are idle."""
        return all(future.done() for future in self.futures.values())

    @property
    def answered(self) -> list[Task]:
        """The tasks whose Records are whole."""
        return [task for task in self.tasks if self._is_whole(record_id_of(self.spec.name, task.problem))]

    def _is_whole(self, name: RecordId) -> bool:
        future = self.futures.get(name)
        return future is not None and future.done() and not future.cancelled() and future.exception() is None

    @property
    def seconds(self) -> float | None:
        return (
            self.last_completion_at - self.submitted_at - self.paused_s if self.last_completion_at else None
        )


def progress(batch: Batch) -> tuple[str, str]:
    """`tiny_coder: generating`, `118 of 164 answers, 2310 tok/s`; then `judging`, `12 of 164 problems`."""
    if batch.arrived >= batch.expected:
        return f"{batch.spec.name}: judging", f"{batch.finished} of {len(batch.tasks)} problems"
    elapsed = time.monotonic() - batch.submitted_at
    speed = f", {batch.tokens / elapsed:.0f} tok/s" if batch.tokens else ""
    trouble = f"; {word}" if (word := batch.status.trouble) else ""
    return f"{batch.spec.name}: generating", f"{batch.arrived} of {batch.expected} answers{speed}{trouble}"
