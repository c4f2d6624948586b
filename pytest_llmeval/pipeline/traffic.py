"""What comes and goes between a batch, its engine and its judging: questions out, answers in.

Threads: whoever opens a model begins; then each engine's listening thread delivers completions, which are on disk
before anything else happens to them, and sends the next questions. Judging has threads of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import Any, Literal, Protocol

from pytest_llmeval.engines import Engine, EngineInfo
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.keys import RunKeys
from pytest_llmeval.pipeline.asking import Question
from pytest_llmeval.pipeline.batch import Batch
from pytest_llmeval.pipeline.judging import Answer, Judging, fail
from pytest_llmeval.pipeline.resume import Reuse
from pytest_llmeval.schema import Completion, ModelSpec, RecordId, Request
from pytest_llmeval.store import Generation, RunStore

ScoringPolicy = Literal["overlap", "after"]


class Observer(Protocol):
    """Told where each model stands: telemetry in a run."""

    def enters(self, spec: ModelSpec, engine: Engine, phase: str | None) -> None: ...

    def answered(self, name: RecordId, sample: int, completion: Completion) -> None: ...

    def closes(self, model: str, engine: Engine) -> None: ...


class Traffic:
    """Moves the batches of a run. `concurrency` bounds how many questions of one batch are under way."""

    def __init__(
        self,
        store: RunStore,
        keys: RunKeys,
        policy: Callable[[EngineInfo], ScoringPolicy],
        observer: Observer,
        concurrency: int | None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._judging = Judging(store, keys, self.flow)
        self._policy = policy
        self._observer = observer
        self._concurrency = concurrency

    def flow(self, batch: Batch) -> None:
        """Send what may be sent, judge what may be judged; from then on answers keep the batch going."""
        self._pump(batch)
        self._release(batch)

    def answered_before(self, batch: Batch, question: Question, reuse: Reuse) -> bool:
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
            future = submitted(batch.engine, question.request)
            batch.sent(future)
            future.add_done_callback(partial(self._arrived, batch, question))
            batch.end_turn()

    def _arrived(self, batch: Batch, question: Question, done: Future[Completion]) -> None:
        """Called in the engine's thread for each answer, or for the fault that comes instead of it."""
        answer: Answer | None = None
        try:
            answer = self._kept(batch, question, done.result())
        except CancelledError:
            self._lose(batch, question, EngineFault("not answered: the run ended before"))
        except Exception as error:
            self._lose(batch, question, error)
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
        self.flow(batch)

    def _lose(self, batch: Batch, question: Question, error: Exception) -> None:
        fail(batch.futures[question.draft.record_id], error)
        batch.lose()

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

    def cancel(self, batch: Batch) -> None:
        """Send nothing more and drop what is under way; answers that had come are judged."""
        unasked, unanswered = batch.stop()
        for question in unasked:
            fail(batch.futures[question.draft.record_id], EngineFault("not asked: the run ended before"))
        for future in unanswered:
            future.cancel()
        self._release(batch)

    def close(self) -> None:
        """Give up what is not judged yet."""
        self._judging.close()


def submitted(engine: Engine, request: Request) -> Future[Completion]:
    """The engine's answer to come; a `submit` that raises, which it never may, refuses this request and no other."""
    try:
        return engine.submit(request)
    except Exception as error:
        fault = EngineFault(f"{type(engine).__name__}.submit() raised {type(error).__name__}: {error}")
        fault.__cause__ = error
        refused: Future[Completion] = Future()
        refused.set_exception(fault)
        return refused


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
