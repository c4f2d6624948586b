"""One model's batch on its way: which answers have come, which Records are whole."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from pytest_llmeval.engines import Engine, EngineInfo
from pytest_llmeval.schema import ModelSpec, Problem, Program, Prompt, Record, RecordId, Sample, Task, Verdict


class Scorer(Protocol):
    """What judges Programs; the sandbox's Executor in a run."""

    def submit(self, program: Program, problem: Problem) -> Future[Verdict]: ...


@dataclass
class Batch:
    """All selected problems of one model, from submission to the last verdict.

    `futures` holds one Record per problem to wait for; `seconds` is first submission to last completion.
    """

    spec: ModelSpec
    engine: Engine
    scorer: Scorer
    info: EngineInfo
    tasks: Sequence[Task]
    futures: Mapping[RecordId, Future[Record]]
    submitted_at: float = 0.0
    last_completion_at: float = 0.0
    arrived: int = 0
    finished: int = 0
    in_flight: int = 0
    submitting: bool = False
    tokens: int = 0
    waiting: deque[Callable[[], None]] = field(default_factory=deque)  # submissions beyond the concurrency
    held: list[Callable[[], None]] = field(default_factory=list)  # scorings that wait for the last answer
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_turn(self, concurrency: int | None) -> Callable[[], None] | None:
        """The next submission, where one waits, nobody else is submitting and fewer are in flight."""
        with self.lock:
            full = concurrency is not None and self.in_flight >= concurrency
            if self.submitting or full or not self.waiting:
                return None
            self.submitting = True
            self.in_flight += 1
            return self.waiting.popleft()

    def end_turn(self) -> None:
        with self.lock:
            self.submitting = False

    @property
    def expected(self) -> int:
        """How many completions the whole batch asks for."""
        return sum(task.sampling.n for task in self.tasks)

    @property
    def drained(self) -> bool:
        """True once every answer has come and was judged: the engine and the sandbox are idle."""
        return self.finished == len(self.tasks)

    @property
    def seconds(self) -> float | None:
        return self.last_completion_at - self.submitted_at if self.arrived else None


class RecordDraft:
    """A Record on its way: collects samples until all have their verdict."""

    def __init__(self, spec: ModelSpec, task: Task, prompt: Prompt) -> None:
        self.problem = task.problem
        self.prompt = prompt
        self.record_id = record_id_of(spec.name, task.problem)
        self._n = task.sampling.n
        self._samples: dict[int, Sample] = {}
        self._lock = threading.Lock()

    def add(self, sample: Sample) -> Record | None:
        """Add one; the call that adds the last one returns the whole Record."""
        with self._lock:
            self._samples[sample.index] = sample
            if len(self._samples) < self._n:
                return None
        samples = tuple(self._samples[index] for index in sorted(self._samples))
        name = self.record_id
        return Record(name.model, name.problem_set, name.task_id, self.prompt, samples)


def record_id_of(model: str, problem: Problem) -> RecordId:
    return RecordId(model, problem.problem_set, problem.task_id)


def progress(batch: Batch) -> tuple[str, str]:
    """`tiny_coder: generating`, `118 of 164 answers, 2310 tok/s`; then `judging`, `12 of 164 problems`."""
    if batch.arrived >= batch.expected:
        return f"{batch.spec.name}: judging", f"{batch.finished} of {len(batch.tasks)} problems"
    elapsed = time.monotonic() - batch.submitted_at
    speed = f", {batch.tokens / elapsed:.0f} tok/s" if batch.tokens else ""
    return f"{batch.spec.name}: generating", f"{batch.arrived} of {batch.expected} answers{speed}"
