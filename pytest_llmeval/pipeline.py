"""Joins prompting, engine, extraction, sandbox and store: a model's whole plan at once, Record by Record.

Knows nothing of pytest. Threads: the caller opens models and waits; each engine's listening thread delivers
completions, which are on disk before anything else happens to them; judging has threads of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_until_done
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import Any, Literal, Protocol

from pytest_llmeval import probe
from pytest_llmeval.asking import Question, questions, record_id_of, requests
from pytest_llmeval.batch import Batch, Scorer, progress
from pytest_llmeval.engines import Engine, EngineInfo
from pytest_llmeval.errors import EngineFault, LLMEvalError
from pytest_llmeval.judging import Answer, Judging, fail
from pytest_llmeval.keys import RunKeys
from pytest_llmeval.resume import Reuse, ReuseOf
from pytest_llmeval.schema import Completion, ModelSpec, Record, RecordId, Request, Task
from pytest_llmeval.store import Generation, RunStore

WAIT_S = 0.25
SETTLE_S = 10.0  # for judging what had arrived when a run is interrupted

ScoringPolicy = Literal["overlap", "after"]
Notify = Callable[[str, str], None]  # stage, how far: ("tiny_coder: generating", "118 of 164 answers")


class EngineFactory(Protocol):
    def __call__(self, spec: ModelSpec) -> Engine: ...


class Observer(Protocol):
    """Told where each model stands: telemetry in a run."""

    def enters(self, spec: ModelSpec, engine: Engine, phase: str | None) -> None: ...

    def answered(self, name: RecordId, sample: int, completion: Completion) -> None: ...

    def closes(self, model: str, engine: Engine) -> None: ...


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
        keys: RunKeys,
        reuse: ReuseOf,
        policy: Callable[[EngineInfo], ScoringPolicy],
        observer: Observer,
        seed: int = 0,
        concurrency: int | None = None,
        notify: Notify = lambda stage, detail: None,
    ) -> None:
        self._plan = plan
        self._specs = specs
        self._create_engine = create_engine
        self._scorer = scorer
        self._store = store
        self._keys = keys
        self._reuse = reuse
        self._judging = Judging(store, keys)
        self._policy = policy
        self._observer = observer
        self._seed = seed
        self._concurrency = concurrency
        self._notify = notify
        self._probes = itertools.count()
        self._prepared: dict[str, Engine] = {}
        self._open: dict[str, Engine] = {}
        self._batches: dict[str, Batch] = {}

    def prepare(self, name: str) -> None:
        """Make a model's engine ahead of `open`, so that it imports while others wait or load.

        One that cannot be made is left for `open` to report, as that model's fault and nobody else's.
        """
        if name not in self._prepared and name not in self._open and not self._reuse(name).whole:
            with contextlib.suppress(LLMEvalError):
                self._prepared[name] = self._create_engine(self._specs[name])

    def open(self, name: str) -> Batch:
        """Load a model, submit everything that is planned for it, and return at once.

        What earlier runs answered is not asked again; where that is all, no engine is loaded.
        The engine of the model after it starts its imports now: while one loads, the other can import.

        Raises:
            EngineFault: the model did not load.
            ConfigurationError, MissingExtraError: its engine could not be made.
            SandboxFault: no sandbox can judge its answers.
        """
        spec = self._specs[name]
        if self._reuse(name).whole:
            self._prepare_next(name)
            batch = self._batch(spec, None, EngineInfo())
        else:
            engine = self._prepared.pop(name) if name in self._prepared else self._create_engine(spec)
            self._open[name] = engine
            self._prepare_next(name)
            self._observer.enters(spec, engine, "load")
            info = engine.load(lambda stage, detail: self._notify(f"{name}: {stage}", detail))
            self._keys.identify(spec)  # loading may have fetched newer weights
            batch = self._batch(spec, engine, info)
            self._observer.enters(spec, engine, "batch" if batch.expected else None)
        self._batches[name] = batch
        batch.submitted_at = time.monotonic()
        self._pump(batch)
        self._release(batch)
        return batch

    def _prepare_next(self, name: str) -> None:
        names = list(self._plan)
        for following in names[names.index(name) + 1 :][:1]:
            self.prepare(following)

    def _batch(self, spec: ModelSpec, engine: Engine | None, info: EngineInfo) -> Batch:
        tasks, reuse = self._plan[spec.name], self._reuse(spec.name)
        futures: dict[RecordId, Future[Record]] = {
            record_id_of(spec.name, t.problem): Future() for t in tasks
        }
        missing = reuse.wanted - len(reuse.answers)
        batch = Batch(spec, engine, self._scorer(), info, tasks, futures, expected=missing)
        batch.waiting = questions(spec, tasks, self._seed)
        if reuse.answers:
            batch.waiting = iter([q for q in batch.waiting if not self._answered_before(batch, q, reuse)])
        return batch

    def _answered_before(self, batch: Batch, question: Question, reuse: Reuse) -> bool:
        """True where an earlier run holds the answer, which then waits to be judged."""
        stored = reuse.answers.get((question.draft.record_id, question.request.sample_index))
        if stored is None:
            return False
        answer = Answer(question, stored.completion, stored.keys, stored)
        batch.held.append(partial(self._judging.submit, batch, answer))
        batch.reused += 1
        return True

    def _pump(self, batch: Batch) -> None:
        """Submit what waits, as far as the concurrency allows.

        An answer that comes at once calls this again from inside: that call leaves the work to the loop here,
        so that a thousand immediate answers are no thousand nested calls.
        """
        while (question := batch.take_turn(self._concurrency)) is not None:
            assert batch.engine is not None  # where there is none, no question waits
            future = batch.engine.submit(question.request)
            batch.sent(future)
            future.add_done_callback(partial(self._arrived, batch, question))
            batch.end_turn()

    def _arrived(self, batch: Batch, question: Question, done: Future[Completion]) -> None:
        """Called in the engine's thread for each answer, or for the fault that comes instead of it."""
        try:
            answer = self._kept(batch, question, done.result())
        except (Exception, CancelledError) as error:
            fail(batch.futures[question.draft.record_id], error)
            answer = None
        with batch.lock:
            batch.asked.discard(done)
            batch.arrived += 1
            last = batch.arrived == batch.expected
            if answer is not None:
                batch.last_completion_at = time.monotonic()
                batch.tokens += answer.completion.completion_tokens or 0
                batch.held.append(partial(self._judging.submit, batch, answer))
        if answer is not None:
            record_id, index = question.draft.record_id, question.request.sample_index
            self._observer.answered(record_id, index, answer.completion)
        if last and batch.engine:
            self._observer.enters(batch.spec, batch.engine, None)
        self._pump(batch)
        self._release(batch)

    def _kept(self, batch: Batch, question: Question, completion: Completion) -> Answer:
        """The answer, once it is on disk."""
        asked = self._keys.asked(question.request.prompt, question.sampling)
        keys = self._keys.of_generation(batch.spec, question.request, asked)
        answer = Answer(question, with_finite_times(completion), keys)
        name, index = question.draft.record_id, question.request.sample_index
        self._store.keep(Generation(*name, index, answer.completion, keys, asked))
        return answer

    def _release(self, batch: Batch) -> None:
        for score in batch.release(after=self._policy(batch.info) == "after"):
            score()

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

        To be called when the batch has drained. Tasks are drawn by the run's seed; no other engine imports
        meanwhile. The answers are not judged.

        Raises:
            EngineFault: the engine died, or refused a request.
        """
        assert batch.engine is not None
        name = batch.spec.name
        self.settle(batch)
        tasks = probe.draw(batch.tasks, count, self._seed)
        told = partial(self._notify, f"{name}: probing one at a time")
        self._observer.enters(batch.spec, batch.engine, "probe")
        try:
            return probe.probe(batch.engine, tasks, partial(self._probe_request, batch), told)
        finally:
            self._observer.enters(batch.spec, batch.engine, None)

    def settle(self, batch: Batch) -> None:
        """Wait until the model's batch is answered and judged, and no other engine imports: nothing disturbs then."""
        missing = set(batch.futures.values())
        while missing := wait_until_done(missing, timeout=WAIT_S).not_done:
            self._notify(*progress(batch))
        while any(engine.is_preparing for engine in self._prepared.values()):
            self._notify(f"{batch.spec.name}: waiting to measure", "another engine imports")
            time.sleep(WAIT_S)

    def _probe_request(self, batch: Batch, task: Task) -> Request:
        return next(requests(batch.spec, task, self._seed, f"probe-{next(self._probes)}"))

    def close_model(self, name: str) -> None:
        """Close a model's engine; what it had not answered is cancelled."""
        if name in self._batches:
            self._cancel(self._batches[name])
        if engine := self._open.pop(name, None):
            self._observer.closes(name, engine)
            engine.close()

    def _cancel(self, batch: Batch) -> None:
        unasked, unanswered = batch.stop()
        for question in unasked:
            fail(batch.futures[question.draft.record_id], EngineFault("not asked: the run ended before"))
        for future in unanswered:
            future.cancel()
        self._release(batch)

    def close(self) -> None:
        """Close every engine, also those that were only preparing; answers that had arrived are still judged."""
        for name in list(self._open):
            self.close_model(name)
        for engine in self._prepared.values():
            engine.close()
        self._prepared.clear()
        # A closed engine has failed every future whose answer had not come; what is left is being judged.
        unsettled = [future for batch in self._batches.values() for future in batch.futures.values()]
        wait_until_done(unsettled, timeout=SETTLE_S)
        self._judging.close()


def with_finite_times(completion: Completion) -> Completion:
    """A time that is no number was not measured."""
    timing = completion.timing
    if timing is None:
        return completion
    figures = {name: getattr(timing, name) for name in ("queue_s", "ttft_s", "decode_s", "e2e_s")}
    odd: dict[str, Any] = {name: None for name, value in figures.items() if not isfinite(value or 0.0)}
    if not all(map(isfinite, timing.token_s or ())):
        odd["token_s"] = None
    return replace(completion, timing=replace(timing, **odd)) if odd else completion
