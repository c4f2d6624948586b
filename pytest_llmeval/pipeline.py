"""Joins prompting, engine, extraction, sandbox and store: a model's whole plan at once, Record by Record.

Knows nothing of pytest. Threads: the caller opens models and waits; each engine's listening thread delivers
completions; the sandbox's threads deliver verdicts.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol

from pytest_llmeval.engines import Engine, EngineInfo
from pytest_llmeval.errors import EngineFault, LLMEvalError
from pytest_llmeval.extraction import extract
from pytest_llmeval.prompting.styles import build_prompt
from pytest_llmeval.schema import (
    AnswerForm,
    Completion,
    ModelSpec,
    Outcome,
    Problem,
    Program,
    Prompt,
    Record,
    Request,
    Sample,
    Task,
    Verdict,
)
from pytest_llmeval.store import RecordId, RunStore

ScoringPolicy = Literal["overlap", "after"]
Notify = Callable[[str, str], None]  # stage, how far: ("tiny_coder: generating", "118 of 164 answers")


class Scorer(Protocol):
    """What judges Programs; the sandbox's Executor in a run."""

    def submit(self, program: Program, problem: Problem) -> Future[Verdict]: ...


class EngineFactory(Protocol):
    def __call__(self, spec: ModelSpec) -> Engine: ...


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
    tokens: int = 0
    held: list[Callable[[], None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def expected(self) -> int:
        """How many completions the whole batch asks for."""
        return sum(task.sampling.n for task in self.tasks)

    @property
    def seconds(self) -> float | None:
        return self.last_completion_at - self.submitted_at if self.arrived else None


class Pipeline:
    """Runs models one after another over one scorer and one store."""

    def __init__(
        self,
        plan: Mapping[str, Sequence[Task]],
        specs: Mapping[str, ModelSpec],
        *,
        create_engine: EngineFactory,
        scorer: Callable[[], Scorer],
        store: RunStore,
        policy: Callable[[EngineInfo], ScoringPolicy],
        seed: int = 0,
        notify: Notify = lambda stage, detail: None,
    ) -> None:
        self._plan = plan
        self._specs = specs
        self._create_engine = create_engine
        self._scorer = scorer
        self._store = store
        self._policy = policy
        self._seed = seed
        self._notify = notify
        self._prepared: dict[str, Engine] = {}
        self._open: dict[str, Engine] = {}

    def prepare(self, name: str) -> None:
        """Make a model's engine ahead of `open`, so that it imports while others wait or load.

        An engine that cannot be made is `open`'s to report: here, another model would be blamed.
        """
        if name not in self._prepared and name not in self._open:
            with contextlib.suppress(LLMEvalError):
                self._prepared[name] = self._create_engine(self._specs[name])

    def open(self, name: str) -> Batch:
        """Load a model, submit everything that is planned for it, and return at once.

        The engine of the model after it starts its imports now: while one loads, the other can import.

        Raises:
            EngineFault: the model did not load.
            ConfigurationError, MissingExtraError: its engine could not be made.
            SandboxFault: no sandbox can judge its answers.
        """
        spec = self._specs[name]
        prepared = self._prepared.pop(name, None)
        engine = self._open[name] = prepared or self._create_engine(spec)
        self._prepare_next(name)
        info = engine.load(lambda stage, detail: self._notify(f"{name}: {stage}", detail))
        tasks = self._plan[name]
        futures: dict[RecordId, Future[Record]] = {_record_id(name, t.problem): Future() for t in tasks}
        batch = Batch(spec, engine, self._scorer(), info, tasks, futures)
        after = self._policy(info) == "after"
        batch.submitted_at = time.monotonic()
        for task in tasks:
            self._submit(batch, task, after)
        return batch

    def _prepare_next(self, name: str) -> None:
        names = list(self._plan)
        for following in names[names.index(name) + 1 :][:1]:
            self.prepare(following)

    def _submit(self, batch: Batch, task: Task, after: bool) -> None:
        problem, sampling = task.problem, task.sampling
        prompt = build_prompt(problem, batch.spec)
        building = _Building(batch.spec, task, prompt)
        for index in range(sampling.n):
            seed = derive_seed(self._seed, sampling.seed, problem.task_id, index)
            request_id = f"{problem.problem_set}:{problem.task_id}:{index}"
            request = Request(request_id, problem.task_id, prompt, replace(sampling, seed=seed), index)
            future = batch.engine.submit(request)
            future.add_done_callback(partial(self._arrived, batch, building, index, after))

    def _arrived(
        self, batch: Batch, building: _Building, index: int, after: bool, done: Future[Completion]
    ) -> None:
        """Called in the engine's thread for each answer, or for the fault that comes instead of it."""
        error = done.exception()
        with batch.lock:
            batch.arrived += 1
            last = batch.arrived == batch.expected
            if error is None:
                batch.last_completion_at = time.monotonic()
                batch.tokens += done.result().completion_tokens or 0
                batch.held.append(lambda: self._score_or_fail(batch, building, index, done.result()))
            ready = [] if after and not last else batch.held[:]
            if ready:
                batch.held.clear()
        if error is not None:
            fail(batch.futures[building.record_id], error)
        for score in ready:
            score()

    def _score_or_fail(self, batch: Batch, building: _Building, index: int, completion: Completion) -> None:
        """An exception in a future's callback would be swallowed, and the item would wait for ever."""
        try:
            self._score(batch, building, index, completion)
        except Exception as error:
            fail(batch.futures[building.record_id], error)

    def _score(self, batch: Batch, building: _Building, index: int, completion: Completion) -> None:
        program = program_of(completion, building.problem, building.prompt)
        if program is None:
            verdict = Verdict(Outcome.NO_CODE, "the answer holds no program")
            self._scored(batch, building, Sample(index, completion, None, judged(verdict, completion)))
            return
        future = batch.scorer.submit(program, building.problem)

        def finish(done: Future[Verdict]) -> None:
            if error := done.exception():
                verdict = Verdict(Outcome.SANDBOX_ERROR, f"{type(error).__name__}: {error}")
            else:
                verdict = judged(done.result(), completion)
            self._scored(batch, building, Sample(index, completion, program, verdict))

        future.add_done_callback(finish)

    def _scored(self, batch: Batch, building: _Building, sample: Sample) -> None:
        record = building.add(sample)
        if record is None:
            return
        future = batch.futures[building.record_id]
        try:
            self._store.append(record)
        except LLMEvalError as error:
            fail(future, error)
            return
        with batch.lock:
            batch.finished += 1
        if not future.done():
            future.set_result(record)

    def wait(self, batch: Batch, name: RecordId) -> Record:
        """Wait for one Record, telling how far the batch is.

        Raises:
            EngineFault: its answer will never come.
            LLMEvalError: it could not be written.
        """
        future = batch.futures[name]
        while True:
            try:
                return future.result(timeout=0.25)
            except TimeoutError:
                if future.done():
                    raise
                self._notify(*progress(batch))

    def close_model(self, name: str) -> None:
        """Close a model's engine; what it had not answered is lost."""
        if engine := self._open.pop(name, None):
            engine.close()

    def close(self) -> None:
        """Close every engine, also those that were only preparing."""
        for engine in (*self._open.values(), *self._prepared.values()):
            engine.close()
        self._open.clear()
        self._prepared.clear()


class _Building:
    """A Record on its way: collects samples until all have their verdict."""

    def __init__(self, spec: ModelSpec, task: Task, prompt: Prompt) -> None:
        self.problem = task.problem
        self.prompt = prompt
        self.record_id = _record_id(spec.name, task.problem)
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


def _record_id(model: str, problem: Problem) -> RecordId:
    return RecordId(model, problem.problem_set, problem.task_id)


def program_of(completion: Completion, problem: Problem, prompt: Prompt) -> Program | None:
    """The Program to judge; None where an answer holds none."""
    match completion.form:
        case AnswerForm.CONTINUATION:
            return Program(problem.prompt + completion.text, "as it stands, after the prompt")
        case AnswerForm.PROGRAM:
            return Program(completion.text, "as it stands")
        case AnswerForm.ANSWER:
            return extract(completion.text, problem, prompt.style)


def derive_seed(*parts: object) -> int:
    """A 31-bit seed from the run's seed, the entry's, the task and the sample: equal on every machine."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def judged(verdict: Verdict, completion: Completion) -> Verdict:
    """A failed program whose generation ended at its length limit was cut short: that is `truncated`."""
    cut = completion.finish_reason == "length"
    if cut and not verdict.passed and not verdict.outcome.is_fault:
        detail = f"generation ended at its length limit; as it stands: {verdict.outcome}: {verdict.detail}"
        return replace(verdict, outcome=Outcome.TRUNCATED, detail=detail.rstrip(": "))
    return verdict


def fail(future: Future[Any], error: BaseException) -> None:
    """Fail a future once; later faults of the same Record add nothing."""
    if not future.done():
        future.set_exception(error if isinstance(error, LLMEvalError) else EngineFault(str(error)))


def progress(batch: Batch) -> tuple[str, str]:
    """`tiny_coder: generating`, `118 of 164 answers, 2310 tok/s`; then `judging`, `12 of 164 problems`."""
    if batch.arrived >= batch.expected:
        return f"{batch.spec.name}: judging", f"{batch.finished} of {len(batch.tasks)} problems"
    elapsed = time.monotonic() - batch.submitted_at
    speed = f", {batch.tokens / elapsed:.0f} tok/s" if batch.tokens else ""
    return f"{batch.spec.name}: generating", f"{batch.arrived} of {batch.expected} answers{speed}"
