"""How large a drop would be seen."""

from __future__ import annotations

import random

import pytest

from pytest_llmeval.gate.figures import Tally
from pytest_llmeval.gate.paired import Pair, permutation
from pytest_llmeval.gate.power import chance, discordance, problems_needed, samples_needed


def test_eight_points_at_one_sample_for_orientation():
    """164 problems, 15 % discordant: about 80 % alone, about 60 % after correction for five models."""
    assert chance(164, 1, 0.08, 0.15, 0.05) == pytest.approx(0.82, abs=0.01)
    assert chance(164, 1, 0.08, 0.15, 0.01) == pytest.approx(0.58, abs=0.01)


def test_without_a_drop_the_chance_is_at_most_the_level():
    assert 0.01 < chance(164, 1, 1e-9, 0.15, 0.05) <= 0.05
    assert chance(164, 10, 1e-9, 0.15, 0.05) == pytest.approx(0.05, abs=1e-4)


def test_what_is_needed_gives_what_was_wanted():
    samples = samples_needed(164, 0.03, 0.15, 0.05, 0.8)
    assert chance(164, samples, 0.03, 0.15, 0.05) >= 0.8 > chance(164, samples - 1, 0.03, 0.15, 0.05)
    problems = problems_needed(1, 0.03, 0.15, 0.05, 0.8)
    assert chance(problems, 1, 0.03, 0.15, 0.05) == pytest.approx(0.8, abs=0.03)


def test_the_approximation_for_several_samples_agrees_with_simulated_tests():
    rng = random.Random(3)
    found, times = 0, 200
    for _ in range(times):
        pairs = [Pair(4, sum(rng.random() < 0.8 for _ in range(4)), 4, sum(rng.random() < 0.7 for _ in range(4)))
                 for _ in range(60)]  # fmt: skip
        found += permutation(pairs).worse <= 0.05
    assert found / times == pytest.approx(chance(60, 4, 0.1, 0.37, 0.05), abs=0.1)


def test_discordance_is_estimated_without_bias():
    """2 of 4 passed: 6 pairs of answers, 4 of them differ."""
    assert discordance([Tally(4, 2)]) == pytest.approx(4 / 6)
    assert discordance([Tally(1, 1)]) is None
