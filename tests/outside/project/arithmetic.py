"""A problem set of this project."""

from pytest_llmeval.problems import ProblemSet
from pytest_llmeval.schema import Problem

CHECKS = {"double": "candidate(4) == 8", "halve": "candidate(8) == 4"}


def load():
    return ProblemSet("arithmetic", tuple(map(problem, CHECKS)))


def problem(name):
    return Problem(
        problem_set="arithmetic",
        task_id=f"arithmetic/{name}",
        prompt=f'def {name}(x):\n    """The {name} of x."""\n',
        entry_point=name,
        test=f"def check(candidate):\n    assert {CHECKS[name]}\n",
        canonical_solution="",
    )
