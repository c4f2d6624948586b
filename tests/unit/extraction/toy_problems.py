"""Problems like HumanEval's, small enough to read."""

from __future__ import annotations

from pytest_llmeval.schema import Problem


def make_problem(prompt: str | None = None) -> Problem:
    return Problem(
        problem_set="toy",
        task_id="Toy/0",
        prompt=prompt
        or (
            "from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n"
            '    """ Sum of the numbers.\n    >>> total([1, 2])\n    3\n    """\n'
        ),
        entry_point="total",
        test="def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n",
        canonical_solution="    return sum(numbers)\n",
    )
