"""What the gate needs to know of a run: passes per problem, one figure per measure, and under which conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

FAULTED = "faulted"
UNAVAILABLE = "unavailable"


class Task(NamedTuple):
    """Names one problem."""

    problem_set: str
    task_id: str


class Tally(NamedTuple):
    """What became of one problem's judged samples (faults are left out). `tokens` is the mean output length,
    `prompt` a hash of what was asked."""

    n: int
    passed: int
    no_code: int = 0
    truncated: int = 0
    tokens: float | None = None
    prompt: str = ""


Tallies = Mapping[Task, Tally]


@dataclass(frozen=True)
class ModelFigures:
    """One model in one run. `faults` counts problems that ended in a fault, `selected` those it was asked.

    `conditions` must be equal for speeds to be comparable; `settings` are what may be under test. Where several
    answers to a problem are one in `tallies` (see `reading.as_one`), `drawn` counts them all, as the leaderboard does.
    """

    tallies: Tallies
    selected: int
    faults: int = 0
    status: str = ""
    reason: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    greedy: bool = False
    drawn: Tallies = field(default_factory=dict)


@dataclass(frozen=True)
class RunFigures:
    """A run, as far as the gate is concerned."""

    run_id: str
    started_at: str
    models: Mapping[str, ModelFigures]


NOTHING = RunFigures("", "", {})
