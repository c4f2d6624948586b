"""Problems, and verdicts of single sources, as the sandbox's tests need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pytest_llmeval
from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox import Executor, Limits
from pytest_llmeval.schema import Channel, Problem, Program, Verdict

# For other interpreters: the package under test, wherever it is installed otherwise.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(pytest_llmeval.__file__).parents[1])}
QUICK = Limits(wall_s=1.5, cpu_s=4, memory_bytes=256 << 20)


ALONE = "A-without-bubblewrap"


def started(level: str, **arguments: object) -> Executor:
    """A started executor, or a skip that names why this machine refuses the level."""
    choice = "A" if level == ALONE else level
    executor = Executor(choice, **{"workers": 1, "limits": QUICK, **arguments})  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        if level == ALONE:
            patch.setenv("PATH", "/nowhere")
        try:
            executor.start()
        except SandboxFault as refusal:
            pytest.skip(f"level {level} cannot be had here: {refusal}")
    return executor


def problem(
    test: str, prompt: str = "def f(x):\n", channel: Channel = Channel.SPLIT, **more: object
) -> Problem:
    """A problem whose `check` has the body `test`; it may call `candidate`."""
    body = "\n".join(f"    {line}" for line in test.splitlines())
    fields: dict[str, object] = {
        "problem_set": "tests",
        "task_id": "tests/0",
        "prompt": prompt,
        "entry_point": "f",
        "test": f"def check(candidate):\n{body}\n",
        "canonical_solution": "",
        "channel": channel,
    }
    return Problem(**{**fields, **more})  # type: ignore[arg-type]


SQUARE = problem("assert candidate(3) == 9\nassert candidate(-4) == 16")


def judged(executor: Executor, source: str, task: Problem = SQUARE, limits: Limits | None = None) -> Verdict:
    """The verdict of one source."""
    return executor.submit(Program(source, "test"), task, limits).result(timeout=300)


def still_judges(executor: Executor) -> bool:
    """True where a right and a wrong answer are still told apart."""
    right = judged(executor, "def f(x):\n    return x * x\n")
    wrong = judged(executor, "def f(x):\n    return x + x\n")
    return right.passed and wrong.outcome == "wrong_answer"
