"""Problem sets: named benchmarks whose data is read on first use and never at import."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, overload

from pytest_llmeval import extensions
from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.schema import Problem

__all__ = ["LazyProblems", "ProblemSet"]

T = TypeVar("T")


class LazyProblems(Sequence[Problem]):
    """Problems whose ids are known and that are made, once, when they are asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Problem]]) -> None:
        self.task_ids = tuple(makers)
        self._makers = tuple(makers.values())
        self._made: dict[int, Problem] = {}

    def __len__(self) -> int:
        return len(self.task_ids)

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Problem, ...]: ...
    def __getitem__(self, index: int | slice) -> Problem | tuple[Problem, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        position = range(len(self))[index]
        if position not in self._made:
            self._made[position] = self._makers[position]()
        return self._made[position]

    def __iter__(self) -> Iterator[Problem]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class ProblemSet:
    """A benchmark: its problems in their published order.

    `takes_categories`: its items carry the categories of the models they run on, so that `-m coding`
    selects it; the other sets are chosen by their own marker or by path.
    """

    name: str
    problems: Sequence[Problem]
    takes_categories: bool = False

    @cached_property
    def task_ids(self) -> tuple[str, ...]:
        """What `problems` are called; makes no problem that is made lazily."""
        if isinstance(self.problems, LazyProblems):
            return self.problems.task_ids
        return tuple(problem.task_id for problem in self.problems)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {task_id: index for index, task_id in enumerate(self.task_ids)}

    def problem(self, task_id: str) -> Problem:
        """The problem of a task; KeyError where the set has none of that name."""
        return self.problems[self._positions[task_id]]


def load_problem_set(
    name: str, known: extensions.Catalogue | None = None, file: Path | None = None
) -> ProblemSet:
    """Read one problem set; `known` are the sets of this project and ours, `file` is the data to read.

    Raises:
        ConfigurationError: no set has that name, or its data holds mistakes.
        ProblemSetUnavailableError: its data cannot be had on this machine.
    """
    catalogue = known or extensions.problem_sets()
    load = catalogue.load(name)
    if file is None:
        return _checked(load(), name, catalogue.targets.get(name, name))
    try:
        loaded = load(file)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise
        raise ConfigurationError(
            f"the problem set {name!r} reads no file: give {file} another name"
        ) from error
    return _checked(loaded, name, catalogue.targets.get(name, name))


def _checked(loaded: object, name: str, target: str) -> ProblemSet:
    """What a set's function returned: items, Records and reports go by its name and its tasks' ids."""
    if not isinstance(loaded, ProblemSet):
        raise ConfigurationError(
            f"the problem set {name!r} must be a ProblemSet, but {target} returned {type(loaded).__name__}"
        )
    if ":" not in name and loaded.name != name:
        raise ConfigurationError(
            f"the problem set {name!r} calls itself {loaded.name!r}: {target} must give both one name"
        )
    counts = Counter(loaded.task_ids)
    if twice := [task_id for task_id, count in counts.items() if count > 1]:
        raise ConfigurationError(
            f"the problem set {name!r} has two problems {twice[0]!r}: {target} must name each apart"
        )
    return loaded


def select(
    chosen: Sequence[T], limit: int | None = None, sample: int | None = None, seed: int = 0
) -> tuple[T, ...]:
    """The first `limit` of a set, or `sample` of them drawn without replacement, in published order."""
    if sample is not None and sample < len(chosen):
        drawn = random.Random(seed).sample(range(len(chosen)), sample)
        return tuple(chosen[index] for index in sorted(drawn))
    return tuple(chosen[:limit])
