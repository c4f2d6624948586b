"""pass@k: would one of k answers be right? Estimated from n ≥ k answers to each problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb

from pytest_llmeval.metrics.intervals import mean_interval

KS = (1, 5, 10, 100)


@dataclass(frozen=True)
class Estimate:
    """A share between 0 and 1 with its 95 % interval over problems."""

    value: float
    interval: tuple[float, float]


def estimate(n: int, correct: int, k: int) -> float:
    """The unbiased estimate of pass@k from n answers to one problem, `correct` of them right.

    1 - C(n - correct, k) / C(n, k), the share of k-subsets of the answers that hold a right one (Chen et al.
    2021, arXiv:2107.03374, equation 1). In whole numbers, divided once, so nothing cancels.

    Raises:
        ValueError: fewer than k answers.
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} cannot be estimated from {n} answers")
    subsets = comb(n, k)
    return (subsets - comb(n - correct, k)) / subsets


def pass_at_k(counts: Sequence[tuple[int, int]], k: int) -> Estimate | None:
    """Mean pass@k over problems, each given as (answers judged, answers right).

    None where there is no problem, or one with fewer than k answers: leaving it out would be another mean.
    """
    if not counts or min(n for n, _ in counts) < k:
        return None
    shares = [estimate(n, correct, k) for n, correct in counts]
    trials = sum(n // k for n, _ in counts)
    return Estimate(_mean(counts, k), mean_interval(shares, trials))


def _mean(counts: Sequence[tuple[int, int]], k: int) -> float:
    """In whole numbers too: 44 % of all answers hold a floor of 0.44, which a mean of rounded shares may miss."""
    hold: Counter[int] = Counter()  # how many k-subsets hold a right answer, over the problems with n answers
    for n, correct in counts:
        hold[n] += comb(n, k) - comb(n - correct, k)
    return float(sum(Fraction(subsets, comb(n, k)) for n, subsets in hold.items()) / len(counts))


def all_pass_at_k(counts: Sequence[tuple[int, int]]) -> dict[int, Estimate]:
    """pass@k for every k of `KS` that the fewest answers to a problem allow."""
    estimates = {k: pass_at_k(counts, k) for k in KS}
    return {k: found for k, found in estimates.items() if found is not None}
