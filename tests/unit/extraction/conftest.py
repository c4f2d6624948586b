"""A few problems like HumanEval's, and a way to run trusted programs."""

from __future__ import annotations

import pytest

from pytest_llmeval.schema import Problem


@pytest.fixture
def problem() -> Problem:
    """One function, one import in the prompt."""
    return make_problem()


@pytest.fixture
def problem_with_helper() -> Problem:
    """A prompt that defines a helper before the function, as HumanEval/38 and /50 do."""
    return make_problem(
        prompt=(
            "import math\n\n\ndef double(x: int) -> int:\n    return 2 * x\n\n\n"
            'def total(numbers: list) -> int:\n    """The doubled sum, by `double`."""\n'
        )
    )


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
