"""Problem sets: named benchmarks whose data is read on first use and never at import."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_llmeval import extensions
from pytest_llmeval.schema import Problem


@dataclass(frozen=True)
class ProblemSet:
    """A benchmark: its problems in their published order.

    `takes_categories`: its items carry the categories of the models they run on, so that `-m coding`
    selects it; the other sets are chosen by their own marker or by path.
    """

    name: str
    problems: tuple[Problem, ...]
    takes_categories: bool = False

    @cached_property
    def by_id(self) -> dict[str, Problem]:
        return {problem.task_id: problem for problem in self.problems}


def load_problem_set(name: str, known: extensions.Catalogue | None = None) -> ProblemSet:
    """Read one problem set; `known` are the sets of this project and ours.

    Raises:
        ConfigurationError: no set has that name.
        ProblemSetUnavailableError: its data cannot be had on this machine.
    """
    loaded: ProblemSet = (known or extensions.problem_sets()).load(name)()
    return loaded


def select(
    problems: Sequence[Problem], limit: int | None = None, sample: int | None = None, seed: int = 0
) -> tuple[Problem, ...]:
    """The first `limit` problems, or `sample` of them drawn without replacement, in published order."""
    if sample is not None and sample < len(problems):
        drawn = random.Random(seed).sample(range(len(problems)), sample)
        return tuple(problems[index] for index in sorted(drawn))
    return tuple(problems[:limit])
