"""Joins prompting, engine, extraction, sandbox and store: a model's whole plan at once, Record by Record.

Knows nothing of pytest. Threads: the caller opens models and waits; each engine's listening thread delivers
completions; the sandbox's threads deliver verdicts.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_until_done
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Protocol

from pytest_llmeval.batch import Batch, RecordDraft, Scorer, progress, record_id_of
from pytest_llmeval.engines import Engine, EngineInfo
from pytest_llmeval.errors import EngineFault, LLMEvalError
from pytest_llmeval.exact_match import CanonicalSolution
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
    RecordId,
    Request,
    Sample,
    Task,
    Verdict,
)
from pytest_llmeval.store import RunStore

WAIT_S = 0.25
SETTLE_S = 10.0  # for judging what had arrived when a run is interrupted
PROBE_WARM_UPS = 2

ScoringPolicy = Literal["overlap", "after"]
Notify = Callable[[str, str], None]  # stage, how far: ("tiny_coder: generating", "118 of 164 answers")


class EngineFactory(Protocol):
    def __call__(self, spec: ModelSpec) -> Engine: ...


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
        concurrency: int | None = None,
        notify: Notify = lambda stage, detail: None,
    ) -> None:
        self._plan = plan
        self._specs = specs
        self._create_engine = create_engine
        self._scorer = scorer
        self._store = store
        self._policy = policy
        self._seed = seed
        self._concurrency = concurrency
        self._notify = notify
        self._probes = itertools.count()
        self._prepared: dict[str, Engine] = {}
        self._open: dict[str, Engine] = {}
        self._batches: list[Batch] = []
        self._canonical: dict[tuple[str, str], CanonicalSolution] = {}
        self._closed = False

    def prepare(self, name: str) -> None:
        """Make a model's engine ahead of `open`, so that it imports while others wait or load.

        One that cannot be made is left for `open` to report, as that model's fault and nobody else's.
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
        engine = self._prepared.pop(name) if name in self._prepared else self._create_engine(spec)
        self._open[name] = engine
        self._prepare_next(name)
        info = engine.load(lambda stage, detail: self._notify(f"{name}: {stage}", detail))
        tasks = self._plan[name]
        futures: dict[RecordId, Future[Record]] = {record_id_of(name, t.problem): Future() for t in tasks}
        batch = Batch(spec, engine, self._scorer(), info, tasks, futures)
        after = self._policy(info) == "after"
        self._batches.append(batch)
        batch.waiting.extend(self._submissions(batch, after))
        batch.submitted_at = time.monotonic()
        self._pump(batch)
        return batch

    def _prepare_next(self, name: str) -> None:
        names = list(self._plan)
        for following in names[names.index(name) + 1 :][:1]:
            self.prepare(following)

    def _submissions(self, batch: Batch, after: bool) -> Iterator[Callable[[], None]]:
        """Everything the batch asks for, in the order of its items, ready to be submitted."""
        for task in batch.tasks:
            draft: RecordDraft | None = None
            for request in self._requests(batch.spec, task, task.problem.problem_set):
                draft = draft or RecordDraft(batch.spec, task, request.prompt)
                yield partial(self._submit, batch, draft, request, after)

    def _submit(self, batch: Batch, draft: RecordDraft, request: Request, after: bool) -> None:
        future = batch.engine.submit(request)
        future.add_done_callback(partial(self._arrived, batch, draft, request.sample_index, after))

    def _pump(self, batch: Batch) -> None:
        """Submit what waits, as far as the concurrency allows.

        An answer that comes at once calls this again from inside: that call leaves the work to the loop here,
        so that a thousand immediate answers are no thousand nested calls.
        """
        while (submit := batch.take_turn(self._concurrency)) is not None:
            submit()
            batch.end_turn()

    def _requests(self, spec: ModelSpec, task: Task, prefix: str) -> Iterator[Request]:
        """One request per sample of a task; `prefix` keeps request ids apart."""
        prompt, sampling, task_id = build_prompt(task.problem, spec), task.sampling, task.problem.task_id
        for index in range(sampling.n):
            seed = derive_seed(self._seed, sampling.seed, task_id, index)
            yield Request(f"{prefix}:{task_id}:{index}", task_id, prompt, replace(sampling, seed=seed), index)

    def _arrived(
        self, batch: Batch, draft: RecordDraft, index: int, after: bool, done: Future[Completion]
    ) -> None:
        """Called in the engine's thread for each answer, or for the fault that comes instead of it."""
        error = done.exception()
        with batch.lock:
            batch.arrived += 1
            batch.in_flight -= 1
            last = batch.arrived == batch.expected
            if error is None:
                batch.last_completion_at = time.monotonic()
                batch.tokens += done.result().completion_tokens or 0
                batch.held.append(lambda: self._score_or_fail(batch, draft, index, done.result()))
            ready = [] if after and not last else batch.held[:]
            if ready:
                batch.held.clear()
        self._pump(batch)
        if error is not None:
            fail(batch.futures[draft.record_id], error)
        for score in ready:
            score()

    def _score_or_fail(self, batch: Batch, draft: RecordDraft, index: int, completion: Completion) -> None:
        """An exception in a future's callback would be swallowed, and the item would wait for ever."""
        try:
            self._score(batch, draft, index, completion)
        except Exception as error:
            fail(batch.futures[draft.record_id], error)

    def _score(self, batch: Batch, draft: RecordDraft, index: int, completion: Completion) -> None:
        program = program_of(completion, draft.problem, draft.prompt)
        if program is None:
            verdict = Verdict(Outcome.NO_CODE, "the answer holds no program")
            self._scored(batch, draft, Sample(index, completion, None, judged(verdict, completion)))
            return
        future = batch.scorer.submit(program, draft.problem)

        def finish(done: Future[Verdict]) -> None:
            if error := done.exception():
                verdict = Verdict(Outcome.SANDBOX_ERROR, f"{type(error).__name__}: {error}")
            else:
                verdict = judged(done.result(), completion)
            same = verdict.passed and self._canonical_of(draft.problem).equals(program.source)
            self._scored(batch, draft, Sample(index, completion, program, verdict, same))

        future.add_done_callback(finish)

    def _canonical_of(self, problem: Problem) -> CanonicalSolution:
        """Read once for all models and samples."""
        key = (problem.problem_set, problem.task_id)
        return self._canonical.setdefault(key, CanonicalSolution(problem))

    def _scored(self, batch: Batch, draft: RecordDraft, sample: Sample) -> None:
        record = draft.add(sample)
        if record is None:
            return
        if self._closed:
            return
        future = batch.futures[draft.record_id]
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
                return future.result(timeout=WAIT_S)
            except TimeoutError:
                if future.done():
                    raise
                self._notify(*progress(batch))

    def probe(self, batch: Batch, count: int) -> list[Completion]:
        """Ask up to `count` of the batch's tasks again, one at a time: single-stream timings.

        To be called when the batch has drained. Tasks are drawn by the run's seed; warm-ups come first and the
        prefix cache is emptied after them; no other engine imports meanwhile. The answers are not judged.

        Raises:
            EngineFault: the engine died, or refused a request.
        """
        name = batch.spec.name
        tasks = random.Random(self._seed).sample(batch.tasks, min(count, len(batch.tasks)))
        while any(engine.is_preparing for engine in self._prepared.values()):
            self._notify(f"{name}: waiting to probe", "another engine imports")
            time.sleep(WAIT_S)
        for task in tasks[:PROBE_WARM_UPS]:
            self._ask(batch, task)
        batch.engine.reset_cache()
        answers = []
        for number, task in enumerate(tasks, 1):
            self._notify(f"{name}: probing one at a time", f"{number} of {len(tasks)}")
            answers.append(self._ask(batch, task))
        return answers

    def _ask(self, batch: Batch, task: Task) -> Completion:
        """One answer to one task, waited for."""
        request = next(self._requests(batch.spec, task, f"probe-{next(self._probes)}"))
        return batch.engine.submit(request).result()

    def close_model(self, name: str) -> None:
        """Close a model's engine; what it had not answered is lost."""
        if engine := self._open.pop(name, None):
            engine.close()

    def close(self) -> None:
        """Close every engine, also those that were only preparing; answers that had arrived are still judged."""
        for engine in (*self._open.values(), *self._prepared.values()):
            engine.close()
        self._open.clear()
        self._prepared.clear()
        # A dead engine has failed every future whose answer had not come; what is left is being judged.
        wait_until_done(
            [future for batch in self._batches for future in batch.futures.values()], timeout=SETTLE_S
        )
        self._closed = True


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
