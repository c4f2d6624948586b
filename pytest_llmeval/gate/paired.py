"""The same problems before and after: a test of a drop, and an interval for its size.

Both are statements about this fixed set of problems. What varies is what a model answers to them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

PRUNED = 1e-18  # probabilities below are dropped from the ends of a distribution, see `tails`
BISECTIONS = 48


class Pair(NamedTuple):
    """One problem: `c0` of `n0` samples passed before, `c1` of `n1` after."""

    n0: int
    c0: int
    n1: int
    c1: int

    @property
    def difference(self) -> float:
        """Divided once: a loss of one in ten is what a threshold of ten points says, and not a little less."""
        return (self.c1 * self.n0 - self.c0 * self.n1) / (self.n0 * self.n1)


class Tails(NamedTuple):
    """One-sided p-values: of a result at least as bad, and at least as good, if nothing had changed."""

    worse: float
    better: float


class Interval(NamedTuple):
    low: float
    high: float


def mean_difference(pairs: Sequence[Pair]) -> float:
    """Mean over problems of the pass rate after less the pass rate before, in [-1, 1]."""
    return math.fsum(pair.difference for pair in pairs) / len(pairs)


# ------------------------------------------------------------------------------------------------ the test


def mcnemar(lost: int, won: int) -> Tails:
    """Exact one-sided McNemar test of `lost` (passed before, fail now) against `won` problems.

    If nothing changed, each of the lost + won discordant problems is as likely to be lost as won:
    p = P(X ≥ lost), X ~ Bin(lost + won, 1/2). McNemar 1947, Psychometrika 12:153-157; the exact form is the
    sign test, Conover, Practical Nonparametric Statistics, 3rd ed., section 3.5.
    """
    total = lost + won
    return Tails(_binomial_tail(total, lost), _binomial_tail(total, won))


def _binomial_tail(total: int, least: int) -> float:
    return sum(math.comb(total, k) for k in range(least, total + 1)) / (1 << total)


def permutation(pairs: Iterable[Pair]) -> Tails:
    """Exact label permutation within problems, on the number of samples that passed.

    If nothing changed, the labels "before" and "after" of a problem's n0 + n1 samples are exchangeable: given
    that c0 + c1 of them passed, those that fell to "after" are hypergeometric. The statistic is their sum over
    problems; its distribution is the convolution, computed exactly (no resampling, no seed). With equal n it
    orders results as the mean difference of pass rates does; with n0 = n1 = 1 it is McNemar's test. Fisher 1935,
    The Design of Experiments; as an exact test of stratified 2 × 2 tables: Birch 1964, JRSS B 26:313-324.

    Ends of the distribution below 1e-18 are dropped, so p is too small by less than 1e-15 for 500 problems.
    """
    observed, strata = 0, Counter[tuple[int, int, int]]()
    for n0, c0, n1, c1 in pairs:
        observed += c1
        strata[n0, n1, c0 + c1] += 1
    distribution, start = [1.0], 0
    for (n0, n1, passed), count in strata.items():
        low, weights = hypergeometric(n0, n1, passed)
        start += low * count
        for _ in range(count if len(weights) > 1 else 0):
            distribution, dropped = _pruned(_convolved(distribution, weights))
            start += dropped
    below = math.fsum(distribution[: max(0, observed - start + 1)])
    above = math.fsum(distribution[max(0, observed - start) :])
    return Tails(min(1.0, below), min(1.0, above))


def hypergeometric(n0: int, n1: int, passed: int) -> tuple[int, list[float]]:
    """How many of `passed` fall among the `n1` of n0 + n1: the least number, and probabilities from there on."""
    low, high = max(0, passed - n0), min(n1, passed)
    ways = math.comb(n0 + n1, passed)
    return low, [math.comb(n1, k) * math.comb(n0, passed - k) / ways for k in range(low, high + 1)]


def _convolved(one: Sequence[float], other: Sequence[float]) -> list[float]:
    result = [0.0] * (len(one) + len(other) - 1)
    for shift, weight in enumerate(other):
        for index, probability in enumerate(one, shift):
            result[index] += weight * probability
    return result


def _pruned(distribution: list[float]) -> tuple[list[float], int]:
    first, last = 0, len(distribution)
    while distribution[first] < PRUNED:
        first += 1
    while distribution[last - 1] < PRUNED:
        last -= 1
    return distribution[first:last], first


# -------------------------------------------------------------------------------------------- the interval


def interval(pairs: Sequence[Pair], confidence: float = 0.95) -> Interval:
    """Score interval of the mean difference; `confidence` is of each bound alone (so 0.95 gives a 90 % interval).

    One sample each: Tango's. More: `within_problems`.
    """
    if all(pair.n0 == pair.n1 == 1 for pair in pairs):
        lost = sum(pair.c0 > pair.c1 for pair in pairs)
        won = sum(pair.c1 > pair.c0 for pair in pairs)
        return tango(lost, won, len(pairs), confidence)
    return within_problems(pairs, confidence)


def tango(lost: float, won: float, problems: int, confidence: float = 0.95) -> Interval:
    """Tango's score interval for (won - lost) / problems; `confidence` is of each bound alone.

    The bounds are the Δ at which |won - lost - NΔ| / sqrt(N (2 q + Δ (1 - Δ))) equals the normal quantile, where
    q is the share of lost problems that is most likely under Δ: the root of 2N q² + B q - lost Δ (1 - Δ) = 0,
    B = (2N - won + lost) Δ - won - lost. Tango 1998, Statistics in Medicine 17:891-908.
    """
    z = NormalDist().inv_cdf(confidence)

    def lower(lost: float, won: float) -> float:
        def too_far(delta: float) -> bool:
            gap = won - lost - problems * delta
            return gap > 0 and gap * gap > z * z * _tango_variance(lost, won, problems, delta)

        return _bisect(too_far, -1.0, (won - lost) / problems)

    return Interval(lower(lost, won), -lower(won, lost))


def _tango_variance(lost: float, won: float, problems: int, delta: float) -> float:
    a = 2 * problems
    b = (2 * problems - won + lost) * delta - won - lost
    c = -lost * delta * (1 - delta)
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    # Of the two forms of the root, the one that does not subtract nearly equal numbers.
    q = (root - b) / (2 * a) if b <= 0 else -2 * c / (root + b)
    return problems * max(0.0, 2 * q + delta * (1 - delta))


def within_problems(pairs: Sequence[Pair], confidence: float = 0.95) -> Interval:
    """Score interval of the mean difference from the spread within problems; `confidence` of each bound alone.

    Tango's idea with more samples: the bound is the Δ at which (D - Δ) / sqrt(V(Δ)) equals the normal quantile.
    V(Δ) = Σ p(1-p)/(n-1) over both arms of all m problems / m², at the rates p that are most likely if the mean
    difference were Δ. They solve λp² - (n+λ)p + c = 0 (after) with one Lagrange multiplier λ for all problems, so
    the bound is found along λ. At the unconstrained rates p(1-p)/(n-1) is the unbiased estimate of p(1-p)/n.
    One sample c tells no spread by itself. Held against the rate o of the other arm it does, and rather too much of
    it: E(c - o)² = p(1-p) + (p - o)², which stands for p(1-p)/(n-1) there. The construction is Miettinen and
    Nurminen's (1985, Statistics in Medicine 4:213-226), for independent binomials, stratified by problem.
    """
    z = NormalDist().inv_cdf(confidence)
    turned = [Pair(n1, c1, n0, c0) for n0, c0, n1, c1 in pairs]
    return Interval(_score_bound(pairs, z), -_score_bound(turned, z))


def _score_bound(pairs: Sequence[Pair], z: float) -> float:
    cells = Counter(pairs)
    observed = mean_difference(pairs)

    def too_far(log_pull: float) -> bool:
        delta, variance = _constrained(cells, math.exp(log_pull))
        gap = observed - delta
        return gap > 0 and gap * gap > z * z * variance

    # Beyond 30 either way rates differ from 0 and 1 by less than 1e-12.
    pull = -_bisect(lambda x: too_far(-x), -30.0, 30.0)
    return _constrained(cells, math.exp(pull))[0]


def _constrained(cells: Counter[Pair], pull: float) -> tuple[float, float]:
    """Mean difference and its variance at the most likely rates when `pull` (λ) draws "after" down."""
    total = sum(cells.values())
    delta, variance = 0.0, 0.0
    for pair, count in cells.items():
        p0 = 1 - _drawn_down(pair.n0, pair.n0 - pair.c0, pull)
        p1 = _drawn_down(pair.n1, pair.c1, pull)
        delta += count * (p1 - p0)
        variance += count * (
            _arm_variance(pair.n0, p0, pair.n1, p1) + _arm_variance(pair.n1, p1, pair.n0, p0)
        )
    return delta / total, variance / total**2


def _drawn_down(n: int, c: int, pull: float) -> float:
    """The smaller root of λp² - (n+λ)p + c = 0, in the form that loses no digits."""
    b = n + pull
    return 2 * c / (b + math.sqrt(max(0.0, b * b - 4 * pull * c)))


def _arm_variance(n: int, p: float, other_n: int, other_p: float) -> float:
    """Variance of one arm's pass rate on one problem."""
    if n > 1:
        return p * (1 - p) / (n - 1)
    if other_n > 1:
        return p * (1 - p) + (p - other_p) ** 2
    pooled = (p + other_p) / 2  # of two samples, one each
    return 2 * pooled * (1 - pooled)


def _bisect(is_too_far: Callable[[float], bool], far: float, near: float) -> float:
    """The border between what is too far and what is not; `far` is, or is the last value there is."""
    for _ in range(BISECTIONS):
        middle = (far + near) / 2
        if is_too_far(middle):
            far = middle
        else:
            near = middle
    return (far + near) / 2
