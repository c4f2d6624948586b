"""Student's t and the prediction of one more run, against tables and scipy."""

from __future__ import annotations

import math

import pytest

from pytest_llmeval.gate.student import Prediction, predict, t_mean, t_quantile, t_upper_tail


@pytest.mark.parametrize(
    ("probability", "df", "table"),
    [(0.95, 4, 2.132), (0.975, 1, 12.706), (0.99, 4, 3.747), (0.95, 30, 1.697), (0.5, 7, 0.0)],
)
def test_quantiles_are_those_of_the_printed_table(probability, df, table):
    assert t_quantile(probability, df) == pytest.approx(table, abs=5e-4)


def test_agreement_with_scipy():
    from scipy.stats import t

    for df in (1, 2, 4, 9, 163):
        for x in (-6.0, -0.3, 0.0, 0.7, 2.5, 9.0, 40.0):
            assert t_upper_tail(x, df) == pytest.approx(t.sf(x, df), rel=1e-9)
        for probability in (0.001, 0.3, 0.95, 0.9995):
            assert t_quantile(probability, df) == pytest.approx(t.ppf(probability, df), rel=1e-8)


def test_prediction_by_hand():
    """1, 2, 3, 4, 5: mean 3, s² = 2.5, error = sqrt(2.5 × 6/5) = sqrt(3), 4 df."""
    prediction = predict([1, 2, 3, 4, 5])
    assert prediction == pytest.approx((3, math.sqrt(3), 4))
    assert prediction.reach(0.95) == pytest.approx(2.132 * math.sqrt(3), abs=1e-3)
    assert prediction.tail_above(3 + prediction.reach(0.95)) == pytest.approx(0.05)
    assert prediction.tail_below(3 - prediction.reach(0.95)) == pytest.approx(0.05)


def test_mean_by_hand():
    """1 … 5: standard error sqrt(2.5 / 5)."""
    assert t_mean([1, 2, 3, 4, 5]) == pytest.approx((3, math.sqrt(0.5), 4))


def test_runs_that_never_differ_make_any_difference_certain():
    same = Prediction(2.0, 0.0, 4)
    assert same.tail_above(2.0) == same.tail_below(2.0) == 1.0
    assert same.tail_above(2.1) == 0.0
