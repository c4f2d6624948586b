"""Student's t: distribution, quantile, and where one more run may lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

PRECISION = 1e-15
MOST_TERMS = 500


def t_upper_tail(t: float, df: float) -> float:
    """P(T ≥ t) for T with `df` degrees of freedom.

    Half the regularised incomplete beta function I_x(df/2, 1/2) at x = df / (df + t²): Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.7.1 and 26.5.27.
    """
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    half = 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + t * t))
    return half if t >= 0 else 1 - half


def t_quantile(probability: float, df: float) -> float:
    """The t with P(T ≤ t) = `probability`: Newton's method, kept inside an interval that holds the root."""
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    tail, high = 1 - probability, 1.0
    while t_upper_tail(high, df) > tail:
        high *= 2
    low, t = 0.0, high / 2
    while high - low > 1e-12 * max(1.0, high):
        excess = t_upper_tail(t, df) - tail
        low, high = (t, high) if excess > 0 else (low, t)
        step = excess / _density(t, df)
        if abs(step) <= 1e-11 * max(1.0, t):  # the tail itself is good to about 1e-14
            break
        t = t + step if low < t + step < high else (low + high) / 2
    return t


def _density(t: float, df: float) -> float:
    log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return math.exp(log - (df + 1) / 2 * math.log1p(t * t / df))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function (DLMF 8.17.22) by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    result = d
    for m in range(1, MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = result
        for numerator in (even, odd):
            d = 1 / ((1 + numerator * d) or tiny)
            c = (1 + numerator / c) or tiny
            result *= c * d
        if abs(result - before) <= PRECISION * abs(result):
            break
    return result


class Prediction(NamedTuple):
    """What runs say of one more run: their mean, the standard error of (one more run - mean), and its df."""

    mean: float
    error: float
    df: int

    def tail_above(self, value: float) -> float:
        """P(one more run ≥ value) if it is like the others."""
        gap = value - self.mean
        if self.error == 0:
            return 1.0 if gap <= 0 else 0.0
        return t_upper_tail(gap / self.error, self.df)

    def tail_below(self, value: float) -> float:
        """P(one more run ≤ value) if it is like the others."""
        return Prediction(-self.mean, self.error, self.df).tail_above(-value)

    def reach(self, confidence: float) -> float:
        """How far one more run may lie on one side of the mean."""
        return t_quantile(confidence, self.df) * self.error


def predict(runs: Sequence[float]) -> Prediction:
    """t prediction for one more run: (y - mean) / (s sqrt(1 + 1/k)) has Student's t with k - 1 df.

    Runs are the unit: one run's requests share its weather. Hahn and Meeker 1991, Statistical Intervals,
    section 4.7 (one-sided prediction bound for one future observation, m = 1).

    Args:
        runs: at least two figures, one per run, on a scale where they are roughly normal (logarithms of times).
    """
    k = len(runs)
    return Prediction(fmean(runs), stdev(runs) * math.sqrt(1 + 1 / k), k - 1)


def t_mean(values: Sequence[float]) -> Prediction:
    """The mean of `values` with its standard error s / sqrt(m): Student 1908, Biometrika 6:1-25."""
    return Prediction(fmean(values), stdev(values) / math.sqrt(len(values)), len(values) - 1)
