"""Confidence intervals of proportions and of means of shares over problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pvariance

Z_95 = 1.959963984540054


def wilson(successes: float, trials: float, z: float = Z_95) -> tuple[float, float] | None:
    """Wilson's score interval of a proportion, None without trials (Wilson 1927, JASA 22:209-212)."""
    if trials == 0:
        return None
    p = successes / trials
    denominator = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / denominator
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / denominator
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(shares: Sequence[float], trials: int, z: float = Z_95) -> tuple[float, float]:
    """Interval of the mean of one share per problem, the problems being the units that vary.

    Wilson's score interval at the effective sample size m_eff = p (1 - p) / (s² / m): as many independent
    trials as would leave the mean p of the m shares as uncertain as their variance s² does (Korn & Graubard
    1998, Survey Methodology 24:193-201; compared with others by Franco et al. 2019, JSSAM 7:334-364). One
    answer a problem gives s² = p (1 - p), thus Wilson's interval over problems; the more answers a problem
    has, the less is left of the noise of drawing them, never of the noise of choosing the problems. m_eff is
    at least m and at most `trials`, the independent draws that were really made, so that an interval has a
    width also where all shares are equal.

    Raises:
        ValueError: no shares.
    """
    if not shares:
        raise ValueError("the mean of no shares has no interval")
    p, m = fmean(shares), len(shares)
    variance = pvariance(shares, p)
    effective = m * p * (1 - p) / variance if variance > 0 else math.inf
    effective = max(m, min(effective, trials)) if 0 < p < 1 else m
    bounds = wilson(p * effective, effective, z)
    assert bounds is not None
    return bounds
