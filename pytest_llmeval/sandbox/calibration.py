"""Fits the general wall limit to the machine: what the slowest canonical solution takes there, times a factor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from math import inf

from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.schema import Problem, Program, Verdict

FACTOR = 10.0
LOOKS = 3

Submit = Callable[[Program, Problem], Future[Verdict]]


def fitted(limits: Limits, problems: Iterable[Problem], submit: Submit) -> Limits:
    """Limits that leave every canonical solution `FACTOR` times its wall time, and never less than they do now.

    A solution that would raise the limit is looked at again, and its shortest time counts: programs are judged
    while engines import and workers warm up, and waiting for a core is not what the solution takes.
    """
    known = [*problems]
    seconds = [inf] * len(known)
    looked_at: Sequence[int] = range(len(known))
    for _ in range(LOOKS):
        futures = {place: submit(canonical(known[place]), known[place]) for place in looked_at}
        for place, future in futures.items():
            verdict = future.result()
            if verdict.passed and verdict.wall_s is not None:
                seconds[place] = min(seconds[place], verdict.wall_s)
        looked_at = [place for place in looked_at if limits.wall_s < FACTOR * seconds[place] < inf]
    slowest_s = max((taken for taken in seconds if taken < inf), default=0.0)
    return replace(limits, wall_s=max(limits.wall_s, round(slowest_s * FACTOR, 1)))


def canonical(problem: Problem) -> Program:
    """The problem's own solution as a program."""
    return Program(problem.prompt + problem.canonical_solution, "canonical")
