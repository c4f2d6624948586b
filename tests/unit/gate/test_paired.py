"""The paired test and its intervals: values worked out by hand, and agreement with scipy and statsmodels."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmeval.gate.paired import (
    Pair,
    hypergeometric,
    interval,
    mcnemar,
    mean_difference,
    permutation,
    tango,
    within_problems,
)


def single(lost: int, won: int, both: int = 0, neither: int = 0) -> list[Pair]:
    """Problems with one sample each."""
    cells = {Pair(1, 1, 1, 0): lost, Pair(1, 0, 1, 1): won, Pair(1, 1, 1, 1): both, Pair(1, 0, 1, 0): neither}
    return [pair for pair, count in cells.items() for _ in range(count)]


def drawn(seed: int, problems: int, n: int) -> list[Pair]:
    """An A/A comparison: both arms from the same rates."""
    rng = random.Random(seed)

    def passed(rate: float) -> int:
        return sum(rng.random() < rate for _ in range(n))

    rates = [rng.betavariate(0.8, 0.4) for _ in range(problems)]
    return [Pair(n, passed(rate), n, passed(rate)) for rate in rates]


# ------------------------------------------------------------------------------------------------ the test


@pytest.mark.parametrize(
    ("lost", "won", "worse", "better"),
    [
        (0, 0, 1.0, 1.0),  # nothing changed: no evidence either way
        (5, 0, 1 / 32, 1.0),  # all of 5 coins fall one way
        (12, 0, 1 / 4096, 1.0),
        (
            8,
            2,
            56 / 1024,
            1013 / 1024,
        ),  # 45 + 10 + 1 ways of at least 8 of 10; less 10 + 1 ways of at least 2
        (3, 1, 5 / 16, 15 / 16),
    ],
)
def test_mcnemar_counts_coin_tosses(lost, won, worse, better):
    assert mcnemar(lost, won) == pytest.approx((worse, better))


def test_with_one_sample_each_the_permutation_is_mcnemars_test():
    assert permutation(single(9, 3, 100, 52)) == pytest.approx(mcnemar(9, 3), rel=1e-12)


def test_permutation_by_hand():
    """Two problems, two samples each. First: 2 of 2 passed before, 0 of 2 after; second: 1 of 2 and 1 of 2.

    Given their totals (2 of 4 each), "after" got 0, 1 or 2 passes with 1/6, 4/6, 1/6. Two such problems give a
    sum of at most 1 (as seen) with 1/36 + 2 × 4/36 = 9/36, and of at least 1 with 35/36.
    """
    assert hypergeometric(2, 2, 2) == (0, pytest.approx([1 / 6, 4 / 6, 1 / 6]))
    assert permutation([Pair(2, 2, 2, 0), Pair(2, 1, 2, 1)]) == pytest.approx((9 / 36, 35 / 36))


def test_permutation_is_what_shuffling_every_label_gives():
    pairs = [Pair(2, 2, 3, 1), Pair(3, 1, 2, 1), Pair(1, 1, 2, 0)]
    sums = []
    for chosen in itertools.product(*(itertools.combinations(range(p.n0 + p.n1), p.n1) for p in pairs)):
        passed = [p.c0 + p.c1 for p in pairs]
        sums.append(sum(sum(i < k for i in c) for c, k in zip(chosen, passed, strict=True)))
    observed = sum(p.c1 for p in pairs)
    worse = sum(s <= observed for s in sums) / len(sums)
    better = sum(s >= observed for s in sums) / len(sums)
    assert permutation(pairs) == pytest.approx((worse, better))


def test_agreement_with_statsmodels_and_scipy():
    from scipy import stats
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    for lost, won in ((10, 2), (7, 6), (25, 9)):
        table = [[80, lost], [won, 20]]
        assert 2 * mcnemar(lost, won).worse == pytest.approx(min(1.0, theirs(table, exact=True).pvalue))
        assert mcnemar(lost, won).worse == pytest.approx(
            stats.binomtest(lost, lost + won, alternative="greater").pvalue
        )
    low, weights = hypergeometric(7, 5, 8)
    assert weights == pytest.approx([stats.hypergeom(12, 8, 5).pmf(low + k) for k in range(len(weights))])


def test_permutation_agrees_with_scipys_resampling():
    """One stratum of 40 labels, where scipy's permutation test resamples; ours is exact."""
    import numpy as np
    from scipy.stats import permutation_test

    before, after = [1] * 15 + [0] * 5, [1] * 10 + [0] * 10
    resampled = permutation_test(
        (after, before),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        alternative="less",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    exact = permutation([Pair(20, 15, 20, 10)]).worse
    assert exact == pytest.approx(resampled.pvalue, abs=4 * math.sqrt(exact / 20_000))


def test_p_values_of_equal_models_are_not_small_too_often():
    small = sum(permutation(drawn(seed, 40, 4)).worse <= 0.05 for seed in range(400))
    assert small <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)


counts = st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
pairs_of = st.lists(st.tuples(counts, counts).map(lambda t: Pair(*t[0], *t[1])), min_size=1, max_size=30)


@given(pairs_of)
@settings(max_examples=100, deadline=None)
def test_turning_time_round_swaps_worse_and_better(pairs):
    turned = [Pair(n1, c1, n0, c0) for n0, c0, n1, c1 in pairs]
    worse, better = permutation(pairs)
    assert permutation(turned) == pytest.approx((better, worse), abs=1e-12)
    low, high = interval(pairs)
    assert interval(turned) == pytest.approx((-high, -low), abs=1e-9)
    assert -1 <= low <= mean_difference(pairs) + 1e-9
    assert mean_difference(pairs) - 1e-9 <= high <= 1


# -------------------------------------------------------------------------------------------- the interval


def test_tango_by_hand_where_nothing_changed():
    """lost = won = 0 leaves N Δ² = z² |Δ| (1 - |Δ|), so |Δ| = z² / (N + z²): 2.7055 / 166.7055 at N = 164."""
    assert tango(0, 0, 164) == pytest.approx((-0.016229, 0.016229), abs=1e-6)


def test_tango_by_hand_where_everything_was_lost():
    """lost = N: under Δ, q is at most (1 - Δ) / 2, so N (1 + Δ)² = z² (1 - Δ²) and Δ = (z² - N) / (z² + N)."""
    z2 = 1.6448536**2
    low, high = tango(10, 0, 10)
    assert low == pytest.approx(-1.0)
    assert high == pytest.approx((z2 - 10) / (z2 + 10), abs=1e-6)


@pytest.mark.parametrize(
    ("lost", "won", "n"), [(12, 4, 164), (1, 0, 44), (5, 9, 50), (0, 3, 30), (20, 3, 60)]
)
def test_tangos_variance_is_that_of_the_most_likely_table(lost, won, n):
    """The bound satisfies the score equation with q maximised by brute force instead of by the formula."""
    from scipy.optimize import minimize_scalar

    for delta, sign in zip(tango(lost, won, n, 0.975), (1, -1), strict=True):

        def unlikely(q, delta=delta):  # q: lost, q + Δ: won, the rest concordant
            cells = ((lost, q), (won, q + delta), (n - lost - won, 1 - 2 * q - delta))
            return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

        q = minimize_scalar(
            unlikely, bounds=(max(0, -delta), (1 - delta) / 2), method="bounded", options={"xatol": 1e-12}
        ).x
        score = (won - lost - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))
        assert score == pytest.approx(sign * 1.959964, abs=2e-4)


def test_within_problems_by_hand_where_nothing_changed():
    """All of m problems pass all n samples twice: p = 1 - ε after gives ε = z² / (m (n - 1) + z²)."""
    bound = 2.705543 / (100 * 3 + 2.705543)
    assert within_problems([Pair(4, 4, 4, 4)] * 100) == pytest.approx((-bound, bound), abs=1e-5)


def test_within_problems_solves_its_score_equation():
    """At the bound found, rates maximised by brute force give the same score."""
    from scipy.optimize import minimize

    pairs = [Pair(5, 4, 5, 2), Pair(5, 3, 5, 3), Pair(4, 1, 6, 2)]
    low = within_problems(pairs, 0.95).low

    def unlikely(rates):
        arms = [(p.n0, p.c0) for p in pairs] + [(p.n1, p.c1) for p in pairs]
        return -sum(
            c * math.log(r) + (n - c) * math.log(1 - r) for (n, c), r in zip(arms, rates, strict=True)
        )

    found = minimize(
        unlikely,
        [0.5] * 6,
        bounds=[(1e-6, 1 - 1e-6)] * 6,
        constraints={"type": "eq", "fun": lambda r: (sum(r[3:]) - sum(r[:3])) / 3 - low},
        options={"ftol": 1e-14},
    ).x
    sizes = [p.n0 for p in pairs] + [p.n1 for p in pairs]
    variance = sum(r * (1 - r) / (n - 1) for r, n in zip(found, sizes, strict=True)) / 9
    assert (mean_difference(pairs) - low) / math.sqrt(variance) == pytest.approx(1.644854, abs=1e-3)


@pytest.mark.parametrize(("n", "seeds"), [(1, 400), (4, 300), (10, 200)])
def test_the_bound_holds_the_truth_as_often_as_it_says(n, seeds):
    """Equal models: the truth is 0. Each lower bound of 95 % may exceed it in 5 % of comparisons."""
    missed = sum(interval(drawn(seed, 60, n)).low > 0 for seed in range(seeds))
    assert missed <= 0.05 * seeds + 3 * math.sqrt(0.05 * 0.95 * seeds)


def pair_of(seed: int, n0: int, n1: int, before: float, after: float) -> Pair:
    toss = random.Random(seed)
    return Pair(
        n0, sum(toss.random() < before for _ in range(n0)), n1, sum(toss.random() < after for _ in range(n1))
    )


@pytest.mark.parametrize(("n0", "n1"), [(20, 1), (5, 1), (1, 5), (1, 20)])
def test_the_bound_holds_where_one_run_has_a_single_sample(n0, n1):
    """All sure before, 3 % lost: with 20 samples before and one after, 44 % of lower bounds were above that loss."""
    compared = [
        [pair_of(1000 * seed + problem, n0, n1, 1.0, 0.97) for problem in range(164)] for seed in range(200)
    ]
    for missed in (
        sum(interval(pairs).low > -0.03 for pairs in compared),
        sum(interval(pairs).high < -0.03 for pairs in compared),
    ):
        assert missed <= 0.05 * 200 + 3 * math.sqrt(0.05 * 0.95 * 200)


def test_more_samples_narrow_the_interval():
    widths = [high - low for low, high in (interval(drawn(1, 100, n)) for n in (1, 4, 16))]
    assert widths == sorted(widths, reverse=True)
