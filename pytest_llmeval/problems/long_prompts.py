"""HumanEval problems buried in code of 1,000 to 100,000 tokens, at the head, in the middle and at the tail.

The problems are ones that most models solve when they stand alone, so that a failure tells of the length. They
are judged as HumanEval's are; the code around them is made when a model is asked, so that collecting is cheap.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_llmeval.problems import ProblemSet, humaneval
from pytest_llmeval.schema import Padding, Problem

NAME = "long_prompts"
TASKS = ("HumanEval/2", "HumanEval/7", "HumanEval/13", "HumanEval/28")
THOUSANDS = (1, 4, 16, 32, 64, 100)


def load() -> ProblemSet:
    """Every length, at every position, with every problem.

    Raises:
        ProblemSetUnavailableError: HumanEval cannot be had.
    """
    problems = {problem.task_id: problem for problem in humaneval.load().problems}
    buried = [
        _buried(problems[task], Padding(1000 * thousand, position, seed=number))
        for thousand in THOUSANDS
        for position in ("head", "middle", "tail")
        for number, task in enumerate(TASKS)
    ]
    return ProblemSet(NAME, tuple(buried))


def _buried(problem: Problem, padding: Padding) -> Problem:
    task_id = f"{problem.task_id}-{padding.tokens // 1000}K-{padding.position}"
    return replace(problem, problem_set=NAME, task_id=task_id, padding=padding)
