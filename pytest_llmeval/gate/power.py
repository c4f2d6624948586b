"""How large a drop a comparison would see: the chance of catching it, and what it would take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist, fmean

from pytest_llmeval.gate.figures import Tally
from pytest_llmeval.gate.paired import mcnemar

MOST_SAMPLES = 1000
MOST_PROBLEMS = 100_000


def chance(problems: int, samples: int, drop: float, discordant: float, level: float) -> float:
    """The chance that a drop is found significant at `level`, one-sided.

    Args:
        samples: per problem, in each run.
        drop: how many of all answers are lost on balance, as a share.
        discordant: how often two single answers to a problem differ in passing, as a share.

    One sample: exact, over how many problems are discordant (binomial) and how many of them are lost (binomial);
    Connor 1987, Biometrics 43:207-211. More: normal approximation, with the variance discordant / (n m) that m
    problems of n samples leave; discordant = mean of 2p(1-p).
    """
    discordant = max(discordant, drop)
    if samples == 1:
        return _exact(problems, drop, discordant, level)
    normal, error = NormalDist(), math.sqrt(discordant / (samples * problems))
    return normal.cdf(drop / error - normal.inv_cdf(1 - level))


def _exact(problems: int, drop: float, discordant: float, level: float) -> float:
    lost = (discordant + drop) / (2 * discordant)
    total = 0.0
    for count in range(problems + 1):
        likely = _binomial(problems, count, discordant)
        if likely < 1e-12:
            continue
        least = _least_lost(count, level)
        total += likely * math.fsum(_binomial(count, k, lost) for k in range(least, count + 1))
    return total


def _least_lost(count: int, level: float) -> int:
    """The fewest lost among `count` discordant problems that are significant; count + 1 where none are."""
    low, high = count // 2, count + 1
    while low < high:
        middle = (low + high) // 2
        if mcnemar(middle, count - middle).worse <= level:
            high = middle
        else:
            low = middle + 1
    return low


def _binomial(n: int, k: int, p: float) -> float:
    if p <= 0 or p >= 1:
        return float(k == (n if p >= 1 else 0))
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p))


def samples_needed(problems: int, drop: float, discordant: float, level: float, wanted: float) -> int | None:
    """The fewest samples a problem with which the chance is at least `wanted`; None beyond a thousand."""
    for samples in range(1, MOST_SAMPLES + 1):
        if chance(problems, samples, drop, discordant, level) >= wanted:
            return samples
    return None


def problems_needed(samples: int, drop: float, discordant: float, level: float, wanted: float) -> int | None:
    """About how many problems it takes with `samples` each, by the normal approximation."""
    normal = NormalDist()
    reach = normal.inv_cdf(1 - level) + normal.inv_cdf(wanted)
    needed = math.ceil(max(discordant, drop) * (reach / drop) ** 2 / samples)
    return needed if needed <= MOST_PROBLEMS else None


def discordance(tallies: Iterable[Tally]) -> float | None:
    """How often two answers to the same problem differ in passing, where problems have several samples.

    The unbiased estimate of 2p(1-p), 2 c (n - c) / (n (n - 1)), averaged over problems.
    """
    shares = [2 * t.passed * (t.n - t.passed) / (t.n * (t.n - 1)) for t in tallies if t.n > 1]
    return fmean(shares) if shares else None
