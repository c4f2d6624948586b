"""What pytest is told: skips and errors for what cannot run, (expected) failures for wrong answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_llmeval.collection import CLOCK, Absence, model_of, problem_of
from pytest_llmeval.errors import (
    EngineFault,
    LLMEvalError,
    ModelUnavailableError,
    NotMeasurableError,
    SandboxFault,
)
from pytest_llmeval.items.judged import JudgedRecord
from pytest_llmeval.options import WrongAnswers
from pytest_llmeval.pipeline.asking import record_id_of
from pytest_llmeval.pipeline.batch import Batch
from pytest_llmeval.printable import printed
from pytest_llmeval.run import Run
from pytest_llmeval.schema import PassRule, Problem

if TYPE_CHECKING:
    from pytest_llmeval.serving.bench import Bench

JUDGED = pytest.StashKey[JudgedRecord]()


def fail(why: str) -> NoReturn:
    """The item fails with these words alone, also where an exception that says the same is being handled."""
    raise pytest.fail.Exception(why, pytrace=False) from None


def parameter_of(request: pytest.FixtureRequest) -> Any:
    """The value that collection gave our fixture; none where a test was not seen to ask for it."""
    if not hasattr(request, "param"):
        fail(
            f"{request.fixturename} has no value here: pytest gives one where a test function, or a fixture it names, "
            f"has {request.fixturename} or record among its arguments; request.getfixturevalue and unittest.TestCase "
            "come too late for that"
        )
    return request.param


def stand_in_for(absence: Absence, strict: bool) -> NoReturn:
    """The item of a problem set without items: a skip that says why; with --llmeval-strict missing data fails."""
    if strict and absence.is_fault:
        fail(f"{absence} (--llmeval-strict)")
    pytest.skip(str(absence))


def refuse_what_cannot_run(run: Run, model: str, item: pytest.Item) -> None:
    """Skip items of a model this machine cannot run; after a fault was explained once, refer to it."""
    state = run.state(model)
    if state.unavailable:
        reason = f"{model}: {state.unavailable}"
        if run.options.strict:
            fail(f"{reason} (--llmeval-strict)")
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
    fail(f"engine {model} is not available (explained at the first error of {model})")


def open_or_fail(run: Run, model: str) -> Batch:
    """Load a model; a fault fails the set-up with its one full explanation."""
    try:
        return run.open(model)
    except ModelUnavailableError as error:
        pytest.skip(f"{model}: {error}")
    except SandboxFault as error:
        run.state(model).explained = True
        fail(printed(f"the answers of {model} cannot be judged: {error}"))
    except LLMEvalError as error:
        run.state(model).explained = True
        fail(printed(f"engine {model} did not start: {error}"))


def close_or_fail(run: Run, model: str) -> None:
    """Close a model; where what was seen of it cannot be written, the tear-down fails and says so."""
    try:
        run.close_model(model)
    except LLMEvalError as error:
        fail(printed(str(error)))


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
        fail(printed(f"engine {model}: {error}"))
    except LLMEvalError as error:  # not the engine's: the answer could not be stored
        fail(printed(str(error)))
    if record.is_fault:
        verdict = record.samples[0].verdict
        detail = printed(verdict.detail)
        fail(f"the sandbox could not judge {problem.task_id}: {detail}")
    judged = JudgedRecord(record, item.stash[CLOCK], PassRule(run.options.passing))
    item.stash[JUDGED] = judged
    return judged


def bench_or_skip(run: Run, batch: Batch, item: pytest.Item) -> Bench:
    """The item's model, ready to be measured."""
    with skips_what_cannot_be_measured():
        bench = run.bench(batch)
    clock = item.stash.get(CLOCK, None)
    return replace(bench, clock=clock) if clock else bench


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
        report.longrepr = printed(f"engine {model}: {call.excinfo.value}")


def describe(
    report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None], wrong: WrongAnswers
) -> None:
    """Attach the Record's id, and let a wrong answer show the model's failure instead of our plumbing."""
    judged = item.stash.get(JUDGED, None)
    if judged is None:
        return
    if call.when == "teardown":
        # Items live as long as the session, and a Record may hold thousands of answers.
        del item.stash[JUDGED]
    record = judged.record
    report.llmeval = list(record.record_id)  # type: ignore[attr-defined]
    report.llmeval_told = printed(judged.explain())  # type: ignore[attr-defined]
    if call.when == "call" and report.failed and _is_wrong_answer(judged, call):
        explanation = printed(judged.explain())
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
