"""What counts as right: each rule with answers it must take and answers it must not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmeval.problems.oracle import judge

NAN, INF = math.nan, math.inf


def accepts(answer, expected, rule="equal", atol=0.0, arguments=(), earlier=()) -> bool:
    """True where `answer` passes after `earlier` right answers."""
    answers = iter([*earlier, answer])
    cases = [(list(arguments), right) for right in (*earlier, expected)]
    try:
        judge(lambda *_: next(answers), iter(cases), rule, atol, 0)
    except (AssertionError, TypeError, ArithmeticError):
        return False
    return True


EQUAL = [(1, 1), (1, True), (1.0, 1), ([1, 2], [1, 2]), ("a", "a"), (None, None), ({"a": 1}, {"a": 1})]
UNEQUAL = [(1, 2), ((1, 2), [1, 2]), ("1", 1), (None, 0), ([2, 1], [1, 2]), (NAN, NAN), (10**30, 10**30 + 1)]


@pytest.mark.parametrize(("answer", "expected"), EQUAL)
def test_equal_answers_pass(answer, expected):
    assert accepts(answer, expected)


@pytest.mark.parametrize(("answer", "expected"), UNEQUAL)
def test_unequal_answers_fail(answer, expected):
    assert not accepts(answer, expected)
    assert not accepts(answer, expected, atol=1e-6)


CLOSE = [
    (0.1 + 0.2, 0.3),
    ([0.1 + 0.2, 1.0], [0.3, 1.0]),
    ((0.1 + 0.2,), (0.3,)),
    (1e9 + 50.0, 1e9),  # within a relative 1e-7
    (INF, INF),
    ([INF, 0.1 + 0.2], [INF, 0.3]),
]
FAR = [
    (0.3001, 0.3),
    (1e9 + 200.0, 1e9),
    (INF, 1e308),
    (1e308, INF),
    (-INF, INF),
    (1, 1.0000001),  # another type
    ([0.1 + 0.2], (0.3,)),
    ([0.1 + 0.2], [0.3, 0.3]),
    ("0.3", 0.3),
    ([NAN], [0.3]),
    ([10**400, 1.0], [1.5, 1.0]),
]


@pytest.mark.parametrize(("answer", "expected"), CLOSE)
def test_floats_are_compared_with_a_tolerance_nobody_asked_for(answer, expected):
    assert accepts(answer, expected)


@pytest.mark.parametrize(("answer", "expected"), FAR)
def test_a_tolerance_has_its_limits_and_asks_for_type_and_length(answer, expected):
    assert not accepts(answer, expected)


def test_a_problems_own_tolerance_holds_for_all_numbers():
    assert accepts(3, 3)
    assert accepts([[1.00005], [2]], [[1.0], [2]], atol=1e-4)
    assert not accepts([[1.0005], [2]], [[1.0], [2]], atol=1e-4)
    assert not accepts([[1.0, 1.0], [2]], [[1.0], [2]], atol=1e-4)
    assert not accepts([["1"], [2]], [[1.0], [2]], atol=1e-4)


def test_a_float_makes_later_answers_tolerant_as_in_evalplus():
    nested, off = [[0.3]], [[0.1 + 0.2]]
    assert not accepts(off, nested)
    assert accepts(off, nested, earlier=[1.5])


def test_the_added_inputs_begin_without_tolerance_again():
    answers = iter([1.5, [[0.1 + 0.2]]])
    cases = [([], 1.5), ([], [[0.3]])]
    with pytest.raises(AssertionError):
        judge(lambda: next(answers), iter(cases), "equal", 0.0, 1)


RULES = {
    "any": ([(3, None), (None, 1)], []),
    "or_zero": ([(0, 7), (7, 7)], [(1, 7), (None, 7)]),
    "set": ([((5, 4), (4, 5)), ([1, 1, 2], [2, 1])], [((5,), (4, 5)), ([[1]], [1]), (None, [1])]),
    "not_none": (
        [(object(), True), ("", True), (None, False), (True, True), (False, False)],
        [(None, True), (object(), False), (True, False), (False, True), (0, False)],
    ),
}
TAKEN = [(rule, *pair) for rule, (right, _) in RULES.items() for pair in right]
REFUSED = [(rule, *pair) for rule, (_, wrong) in RULES.items() for pair in wrong]


@pytest.mark.parametrize(("rule", "answer", "expected"), TAKEN)
def test_a_rule_takes_what_it_should(rule, answer, expected):
    assert accepts(answer, expected, rule)


@pytest.mark.parametrize(("rule", "answer", "expected"), REFUSED)
def test_a_rule_refuses_what_it_should(rule, answer, expected):
    assert not accepts(answer, expected, rule)


def test_a_root_is_right_by_its_residue():
    cubic = [-6, 11, -6, 1]
    assert all(accepts(root, 1.0, "root", 1e-4, [cubic]) for root in (1, 2.0, 2.99999999))
    assert not accepts(1.1, 1.0, "root", 1e-4, [cubic])
    assert not accepts(None, 1.0, "root", 1e-4, [cubic])
    assert not accepts(1e200, 1.0, "root", 1e-4, [cubic])


def test_the_surface_of_a_pyramid_has_two_readings():
    assert accepts(33, 33, "surface", arguments=[3, 4])  # by slant height
    assert accepts(35, 33, "surface", arguments=[3, 4])  # by height: 9 + 2·3·√18.25 = 34.6
    assert not accepts(34, 33, "surface", arguments=[3, 4])


def test_the_digits_of_numbers_of_unequal_length_have_two_readings():
    assert accepts(1, 1, "digits", arguments=[1, 2])
    assert accepts(6, 7, "digits", arguments=[123, 0])
    assert not accepts(8, 7, "digits", arguments=[123, 0])


numbers = st.floats(allow_nan=True) | st.integers(-(10**6), 10**6)


@settings(deadline=None)  # the first example imports numpy, and machines are loaded
@given(answer=st.lists(numbers, max_size=4), expected=st.lists(st.floats(), max_size=4), atol=st.floats(0, 1))
def test_closeness_is_numpys_for_lists_of_floats(answer, expected, atol):
    numpy = pytest.importorskip("numpy")
    same_length = len(answer) == len(expected)
    tolerance = atol or (1e-6 if expected else 0)
    with numpy.errstate(all="ignore"):
        close = same_length and bool(numpy.allclose(answer, expected, rtol=1e-7, atol=tolerance))
    assert accepts(answer, expected, atol=atol) == (answer == expected or (tolerance != 0 and close))
