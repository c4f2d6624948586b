"""Tasks → Requests: one Request per sample, with a seed of its own that is the same in every run."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pytest_llmeval.prompting.styles import build_prompt, settled
from pytest_llmeval.schema import (
    ModelSpec,
    Problem,
    Prompt,
    Record,
    RecordId,
    Request,
    Sample,
    Sampling,
    Task,
)


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
        padding = self.problem.padding
        return Record(name.model, name.problem_set, name.task_id, self.prompt, samples, padding)


def record_id_of(model: str, problem: Problem) -> RecordId:
    return RecordId(model, problem.problem_set, problem.task_id)


@dataclass(frozen=True, slots=True)
class Question:
    """One sample that is wanted: the Request that asks for it and the Record it belongs to."""

    draft: RecordDraft
    request: Request
    sampling: Sampling  # the task's, before each sample got its own seed


def questions(spec: ModelSpec, tasks: Iterable[Task], run_seed: int) -> Iterator[Question]:
    """Every sample of every task, in the order of the tasks."""
    for task in tasks:
        draft: RecordDraft | None = None
        for request in requests(spec, task, run_seed, task.problem.problem_set):
            draft = draft or RecordDraft(spec, task, request.prompt)
            yield Question(draft, request, settled(task.sampling, spec, task.problem.problem_set))


def requests(spec: ModelSpec, task: Task, run_seed: int, prefix: str) -> Iterator[Request]:
    """One Request per sample of a task; `prefix` keeps request ids apart."""
    prompt, task_id = build_prompt(task.problem, spec), task.problem.task_id
    sampling = settled(task.sampling, spec, task.problem.problem_set)
    for index in range(sampling.n):
        seed = derive_seed(run_seed, sampling.seed, task_id, index)
        yield Request(f"{prefix}:{task_id}:{index}", task_id, prompt, replace(sampling, seed=seed), index)


def derive_seed(*parts: object) -> int:
    """A 31-bit seed from the run's seed, the entry's, the task and the sample: equal on every machine."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1
