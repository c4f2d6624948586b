"""One model's batch on its way: which answers have come, which Records are whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from pytest_llmeval.asking import Question
from pytest_llmeval.engines import Engine, EngineInfo, EngineStatus
from pytest_llmeval.schema import Completion, ModelSpec, Problem, Program, Record, RecordId, Task, Verdict


class Scorer(Protocol):
    """What judges Programs; the sandbox's Executor in a run."""

    def submit(self, program: Program, problem: Problem) -> Future[Verdict]: ...


@dataclass
class Batch:
    """All selected problems of one model, from submission to the last verdict.

    `futures` holds one Record per problem to wait for; `expected` is how many answers its engine is to give;
    `seconds` is first submission to last completion. Where every answer is reused, there is no engine.
    `reused` counts answers of an earlier run, `judged_again` those of them whose verdict could not be reused.
    """

    spec: ModelSpec
    engine: Engine | None
    scorer: Scorer
    info: EngineInfo
    tasks: Sequence[Task]
    futures: Mapping[RecordId, Future[Record]]
    expected: int
    submitted_at: float = 0.0
    last_completion_at: float = 0.0
    submitted: int = 0
    arrived: int = 0
    finished: int = 0
    reused: int = 0
    judged_again: int = 0
    submitting: bool = False
    tokens: int = 0
    waiting: Iterator[Question] = field(
        default_factory=lambda: iter(())
    )  # questions that nobody has asked yet
    asked: set[Future[Completion]] = field(default_factory=set)  # those whose answer has not come
    held: list[Callable[[], None]] = field(default_factory=list)  # scorings that wait for the last answer
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_turn(self, concurrency: int | None) -> Question | None:
        """The next question, where one waits, nobody else is submitting and fewer are in flight."""
        with self.lock:
            full = concurrency is not None and self.submitted - self.arrived >= concurrency
            if self.submitting or full:
                return None
            question = next(self.waiting, None)
            self.submitting = question is not None
            self.submitted += question is not None
            return question

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
        """The scorings whose time has come: at once, or with `after` when no further answer will come."""
        with self.lock:
            if after and self.arrived < self.expected:
                return []
            ready, self.held = self.held, []
            return ready

    @property
    def status(self) -> EngineStatus:
        """How its engine fares."""
        return self.engine.status if self.engine else EngineStatus()

    @property
    def drained(self) -> bool:
        """True once every answer has come and was judged: the engine and the sandbox are idle."""
        return self.finished == len(self.tasks)

    @property
    def seconds(self) -> float | None:
        return self.last_completion_at - self.submitted_at if self.last_completion_at else None


def progress(batch: Batch) -> tuple[str, str]:
    """`tiny_coder: generating`, `118 of 164 answers, 2310 tok/s`; then `judging`, `12 of 164 problems`."""
    if batch.arrived >= batch.expected:
        return f"{batch.spec.name}: judging", f"{batch.finished} of {len(batch.tasks)} problems"
    elapsed = time.monotonic() - batch.submitted_at
    speed = f", {batch.tokens / elapsed:.0f} tok/s" if batch.tokens else ""
    trouble = f"; {word}" if (word := batch.status.trouble) else ""
    return f"{batch.spec.name}: generating", f"{batch.arrived} of {batch.expected} answers{speed}{trouble}"
