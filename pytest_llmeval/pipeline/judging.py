"""Completion → Program → Verdict → Record, on threads of its own.

Extraction of a hostile answer may take a while: in an engine's listening thread it would hold up the arrival of
every other answer, and with it their stamps. What comes after a verdict, files among it, would keep the sandbox's
worker idle if it were done in its thread, and behind hundreds of answers to extract it would come late.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future, InvalidStateError, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmeval.errors import EngineFault, LLMEvalError
from pytest_llmeval.extraction import extract
from pytest_llmeval.keys import RunKeys
from pytest_llmeval.pipeline.asking import Question
from pytest_llmeval.pipeline.batch import Batch
from pytest_llmeval.pipeline.exact_match import CanonicalSolution
from pytest_llmeval.pipeline.resume import Stored
from pytest_llmeval.prompting.windows import settle
from pytest_llmeval.schema import (
    AnswerForm,
    Completion,
    Keys,
    Outcome,
    Problem,
    Program,
    Prompt,
    Record,
    Sample,
    Verdict,
)
from pytest_llmeval.store import RunStore

THREADS = 2  # one hostile answer holds up half of the others


@dataclass(frozen=True, slots=True)
class Answer:
    """One Completion to judge, and the question it answers; `stored` where an earlier run left it."""

    question: Question
    completion: Completion
    keys: Keys
    stored: Stored | None = None


class Judging:
    """Judges answers and stores the Records they complete. `close()` gives up what is not judged yet."""

    def __init__(self, store: RunStore, keys: RunKeys, go_on: Callable[[Batch], None]) -> None:
        """`go_on` is called when judging has made room for what waits to be asked or judged."""
        self._store = store
        self._go_on = go_on
        self._keys = keys
        self._reading = ThreadPoolExecutor(THREADS, thread_name_prefix="llmeval-judging")
        self._storing = ThreadPoolExecutor(1, thread_name_prefix="llmeval-storing")
        self._canonical: dict[tuple[str, str], CanonicalSolution] = {}
        self._closed = False

    def submit(self, batch: Batch, answer: Answer) -> None:
        """Judge one answer in the background; its Record, or what went wrong, resolves the batch's future."""
        self._in(self._reading, batch, answer, self._judge, batch, answer)

    def _in(
        self, pool: Executor, batch: Batch, answer: Answer, act: Callable[..., None], *arguments: Any
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the pool was closed: nobody waits any more
            pool.submit(self._or_fail, batch, answer, act, *arguments)

    def _or_fail(self, batch: Batch, answer: Answer, act: Callable[..., None], *arguments: Any) -> None:
        """An exception in a pool would be swallowed, and the item would wait for ever."""
        try:
            act(*arguments)
        except Exception as error:
            fail(batch.futures[answer.question.draft.record_id], error)
            self._settle(batch, answer)

    def _judge(self, batch: Batch, answer: Answer) -> None:
        draft = answer.question.draft
        completion = settle(answer.completion, lambda one: program_of(one, draft.problem, draft.prompt))
        answer = replace(answer, completion=completion)
        program = program_of(completion, draft.problem, draft.prompt)
        if (verdict := self._stored_verdict(batch, answer, program)) is not None:
            self._finish_in_turn(batch, answer, program, verdict)
        elif program is None:
            verdict = Verdict(Outcome.NO_CODE, "the answer holds no program")
            self._finish_in_turn(batch, answer, None, verdict)
        else:
            assert batch.scorer is not None  # a run with tasks has one
            batch.scorer.submit(program, draft.problem).add_done_callback(
                lambda done: self._finish_in_turn(batch, answer, program, verdict_of(done))
            )

    def _finish_in_turn(
        self, batch: Batch, answer: Answer, program: Program | None, verdict: Verdict
    ) -> None:
        self._in(self._storing, batch, answer, self._finish, batch, answer, program, verdict)

    def _stored_verdict(self, batch: Batch, answer: Answer, program: Program | None) -> Verdict | None:
        """The verdict of an earlier run, where the same program would be judged in the same way."""
        if answer.stored is None:
            return None
        key = self._keys.of_verdict(program, answer.question.draft.problem)
        if answer.stored.sample is not None and answer.stored.sample.keys.verdict == key:
            return answer.stored.sample.verdict
        with batch.lock:
            batch.judged_again += 1
        return None

    def _finish(self, batch: Batch, answer: Answer, program: Program | None, verdict: Verdict) -> None:
        draft, completion = answer.question.draft, answer.completion
        keys = replace(answer.keys, verdict=self._keys.of_verdict(program, draft.problem))
        index = answer.question.request.sample_index
        verdict = judged(verdict, completion)
        same = (
            program is not None
            and verdict.passed
            and self._canonical_of(draft.problem).equals(program.source)
        )
        source = answer.stored.run_id if answer.stored else None
        record = draft.add(Sample(index, completion, program, verdict, same, keys, source))
        if record is not None and not self._closed:
            self._store_record(batch, record)
        self._settle(batch, answer)

    def _settle(self, batch: Batch, answer: Answer) -> None:
        if batch.settle(reused=answer.stored is not None):
            self._go_on(batch)

    def _canonical_of(self, problem: Problem) -> CanonicalSolution:
        """Read once for all models and samples."""
        key = (problem.problem_set, problem.task_id)
        return self._canonical.setdefault(key, CanonicalSolution(problem))

    def _store_record(self, batch: Batch, record: Record) -> None:
        self._store.append(record)
        with batch.lock:
            batch.finished += 1
        with contextlib.suppress(InvalidStateError):
            batch.futures[record.record_id].set_result(record.record_id)  # whoever waits reads it from disk

    def close(self) -> None:
        self._closed = True
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._storing.shutdown(wait=False, cancel_futures=True)


def program_of(completion: Completion, problem: Problem, prompt: Prompt) -> Program | None:
    """The Program to judge; None where an answer holds none."""
    match completion.form:
        case AnswerForm.CONTINUATION:
            return Program(problem.prompt + completion.text, "as it stands, after the prompt")
        case AnswerForm.PROGRAM:
            return Program(completion.text, "as it stands")
        case AnswerForm.ANSWER:
            return _extracted(completion.text, problem, prompt)


def _extracted(text: str, problem: Problem, prompt: Prompt) -> Program | None:
    """The answer begins with the prefill; where a server left that out of account, it begins anew."""
    whole = extract(prompt.assistant_prefill + text, problem, prompt.style)
    if whole is None and prompt.assistant_prefill:
        return extract(text, problem, prompt.style)
    return whole


def verdict_of(done: Future[Verdict]) -> Verdict:
    """What the sandbox said; where it failed, a fault in the verdict's form."""
    if error := done.exception():
        return Verdict(Outcome.SANDBOX_ERROR, f"{type(error).__name__}: {error}")
    return done.result()


def judged(verdict: Verdict, completion: Completion) -> Verdict:
    """A failed program whose generation ended at its length limit was cut short: that is `truncated`."""
    cut = completion.finish_reason == "length"
    unclear = verdict.passed or verdict.outcome.is_fault or verdict.outcome is Outcome.TRUNCATED
    if cut and not unclear:
        detail = f"generation ended at its length limit; as it stands: {verdict.outcome}: {verdict.detail}"
        return replace(verdict, outcome=Outcome.TRUNCATED, detail=detail.rstrip(": "))
    return verdict


def fail(future: Future[Any], error: BaseException) -> None:
    """Fail a future once; later faults of the same Record add nothing."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error if isinstance(error, LLMEvalError) else EngineFault(str(error)))
