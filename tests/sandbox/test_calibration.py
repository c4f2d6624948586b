"""The wall limit follows what right answers take on this machine, not what else the machine did meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from pytest_llmeval.sandbox.calibration import FACTOR, fitted
from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.schema import Outcome, Problem, Program, Verdict
from tests.sandbox.judging import problem

LIMITS = Limits(wall_s=3.0)


def judging(*looks: dict[str, float | None]) -> Callable[[Program, Problem], Future[Verdict]]:
    """Says of each problem what its solution took at this look; None where it did not pass."""
    told = {task: iter([look[task] for look in looks if task in look]) for look in looks for task in look}

    def submit(program: Program, asked: Problem) -> Future[Verdict]:
        assert program.source == asked.prompt + asked.canonical_solution
        seconds = next(told[asked.task_id])
        future: Future[Verdict] = Future()
        outcome = Outcome.PASSED if seconds is not None else Outcome.TIMEOUT
        future.set_result(Verdict(outcome, wall_s=9.0 if seconds is None else seconds))
        return future

    return submit


def named(*tasks: str) -> list[Problem]:
    return [replace(problem("pass"), task_id=task) for task in tasks]


def test_a_solution_that_waited_for_a_core_does_not_raise_the_limit() -> None:
    submit = judging({"a": 0.01, "b": 0.9}, {"b": 0.4}, {"b": 0.02})
    assert fitted(LIMITS, named("a", "b"), submit).wall_s == 3.0


def test_one_that_is_slow_every_time_has_room_by_its_shortest() -> None:
    submit = judging({"a": 0.01, "b": 0.9}, {"b": 0.7}, {"b": 0.8})
    assert fitted(LIMITS, named("a", "b"), submit).wall_s == FACTOR * 0.7


def test_one_that_does_not_pass_says_nothing_about_time() -> None:
    submit = judging({"a": None, "b": 0.5}, {"b": None}, {"b": None})
    assert fitted(LIMITS, named("a", "b"), submit).wall_s == FACTOR * 0.5


def test_without_problems_the_limit_stays() -> None:
    assert fitted(LIMITS, [], judging()) == LIMITS
