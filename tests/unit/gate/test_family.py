"""Holm's procedure."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from pytest_llmeval.gate.family import holm
from pytest_llmeval.gate.findings import weigh


def test_holm_by_hand():
    """Ascending 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06 (never below the one before), 0.5."""
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])


def test_weights_by_hand():
    """Weights 3 and 1: 0.03 / 3 comes first and is adjusted to 0.03 × 4/3; then 0.02 × 1, not below the first."""
    assert holm([0.03, 0.02], [3, 1]) == pytest.approx([0.04, 0.04])
    assert holm([0.03, 0.2], [3, 1]) == pytest.approx([0.04, 0.2])


def test_accuracy_weighs_as_much_as_all_other_rules_together():
    assert weigh(["accuracy", "energy", "memory", "no_code"]) == [3, 1, 1, 1]
    assert weigh(["accuracy[mbpp]", "accuracy[humaneval]", "memory"]) == [1, 1, 1]
    assert weigh(["energy"]) == [1]


def test_one_test_needs_no_correction_and_none_needs_nothing():
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_agreement_with_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
