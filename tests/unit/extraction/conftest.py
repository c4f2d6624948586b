"""Problems for the tests of extraction."""

from __future__ import annotations

import pytest
from toy_problems import make_problem

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
