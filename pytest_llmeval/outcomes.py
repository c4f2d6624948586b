"""What pytest is told: skips and errors for what cannot run, (expected) failures for wrong answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

from pytest_llmeval.asking import record_id_of
from pytest_llmeval.batch import Batch
from pytest_llmeval.collection import CLOCK, Absence, model_of, problem_of
from pytest_llmeval.errors import (
    EngineFault,
    LLMEvalError,
    ModelUnavailableError,
    NotMeasurableError,
    SandboxFault,
)
from pytest_llmeval.judged import JudgedRecord
from pytest_llmeval.options import WrongAnswers
from pytest_llmeval.report.text import safe
from pytest_llmeval.run import Run
from pytest_llmeval.schema import PassRule, Problem

if TYPE_CHECKING:
    from pytest_llmeval.serving.bench import Bench

JUDGED = pytest.StashKey[JudgedRecord]()


def stand_in_for(absence: Absence, strict: bool) -> NoReturn:
    """The item of a problem set without items: a skip that says why; with --llmeval-strict missing data fails."""
    if strict and absence.is_fault:
        pytest.fail(f"{absence} (--llmeval-strict)", pytrace=False)
    pytest.skip(str(absence))


def refuse_what_cannot_run(run: Run, model: str, item: pytest.Item) -> None:
    """Skip items of a model this machine cannot run; after a fault was explained once, refer to it."""
    state = run.state(model)
    if state.unavailable:
        reason = f"{model}: {state.unavailable}"
        if run.options.strict:
            pytest.fail(f"{reason} (--llmeval-strict)", pytrace=False)
        pytest.skip(reason)
    if state.fault and state.explained and not _already_answered(state.batch, item, run):
        _fail_with_reference(model)


def _already_answered(batch: Batch | None, item: pytest.Item, run: Run) -> bool:
    """True where the item's answer arrived before the engine died: it is judged and reported as any other."""
    problem = problem_of(item, run)
    if batch is None or problem is None:
        return False
    future = batch.futures[record_id_of(batch.spec.name, problem)]
    return not (future.done() and future.exception())


def _fail_with_reference(model: str) -> NoReturn:
    pytest.fail(f"engine {model} is not available (explained at the first error of {model})", pytrace=False)


def open_or_fail(run: Run, model: str) -> Batch:
    """Load a model; a fault fails the set-up with its one full explanation."""
    try:
        return run.open(model)
    except ModelUnavailableError as error:
        pytest.skip(f"{model}: {error}")
    except SandboxFault as error:
        run.state(model).explained = True
        pytest.fail(safe(f"the answers of {model} cannot be judged: {error}"), pytrace=False)
    except LLMEvalError as error:
        run.state(model).explained = True
        pytest.fail(safe(f"engine {model} did not start: {error}"), pytrace=False)


def wait_or_fail(run: Run, batch: Batch, problem: Problem, item: pytest.Item) -> JudgedRecord:
    """The item's Record; a fault that keeps it from coming fails the set-up."""
    model = batch.spec.name
    try:
        record = run.wait(batch, record_id_of(model, problem))
    except EngineFault as error:
        state = run.state(model)
        if state.explained:
            _fail_with_reference(model)
        state.explained = True
        pytest.fail(safe(f"engine {model}: {error}"), pytrace=False)
    except LLMEvalError as error:  # not the engine's: the answer could not be stored
        pytest.fail(safe(str(error)), pytrace=False)
    if record.is_fault:
        verdict = record.samples[0].verdict
        detail = safe(verdict.detail)
        pytest.fail(f"the sandbox could not judge {problem.task_id}: {detail}", pytrace=False)
    judged = JudgedRecord(record, item.stash[CLOCK], PassRule(run.options.passing))
    item.stash[JUDGED] = judged
    return judged


def bench_or_skip(run: Run, batch: Batch) -> Bench:
    """The item's model, ready to be measured."""
    with skips_what_cannot_be_measured():
        return run.bench(batch)


@contextlib.contextmanager
def skips_what_cannot_be_measured() -> Iterator[None]:
    """A measurement that this engine cannot take, or lengths that do not fit, are no failure of the model."""
    try:
        yield
    except NotMeasurableError as reason:
        pytest.skip(str(reason))


def show_fault(report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None], run: Run) -> None:
    """An engine that dies while a test measures it is an error, as one that dies in set-up: not a failed test."""
    model = model_of(item)
    if model is None or call.when != "call" or call.excinfo is None:
        return
    if call.excinfo.errisinstance(EngineFault):
        state = run.state(model)
        state.fault = state.fault or str(call.excinfo.value)
        state.explained = True
        report.when = "setup"  # pytest counts a failure there as an error
        report.longrepr = safe(f"engine {model}: {call.excinfo.value}")


def describe(
    report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None], wrong: WrongAnswers
) -> None:
    """Attach the Record's id, and let a wrong answer show the model's failure instead of our plumbing."""
    judged = item.stash.get(JUDGED, None)
    if judged is None:
        return
    record = judged.record
    report.llmeval = list(record.record_id)  # type: ignore[attr-defined]
    report.llmeval_told = safe(judged.explain())  # type: ignore[attr-defined]
    if call.when == "call" and report.failed and _is_wrong_answer(judged, call):
        explanation = safe(judged.explain())
        report.longrepr = explanation
        report.llmeval_wrong = True  # type: ignore[attr-defined]  # for the gate
        if wrong == "xfail":
            report.outcome = "skipped"
            report.wasxfail = explanation


def _is_wrong_answer(judged: JudgedRecord, call: pytest.CallInfo[None]) -> bool:
    """The test asserted that the Record passed; any other failure of the test body stays as it is."""
    if judged.passed or call.excinfo is None or not call.excinfo.errisinstance(AssertionError):
        return False
    return judged.explain() in str(call.excinfo.value)
