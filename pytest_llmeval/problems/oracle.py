"""What counts as a right answer, by EvalPlus's rules; runs in the checker, beside the right answers.

This source is part of generated tests, after that of `plain`: standard library only. A test adds ARGUMENTS
(text of one argument list per case), REFERENCE (source of a right program), RULE, ATOL, BASE_CASES, and, once
the right answers are known, EXPECTED and LEFT_OUT.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

FLOAT_ATOL = 1e-6  # what EvalPlus grants a float where the problem grants nothing
RTOL = 1e-7  # numpy.testing's default, which EvalPlus passes to numpy.allclose


def judge(
    candidate: Callable[..., Any],
    cases: Iterator[tuple[list[Any], Any]],
    rule: str,
    atol: float,
    base_cases: int,
) -> None:
    """Ask every case; AssertionError at the first wrong answer.

    `atol` as EvalPlus keeps it: a float among the right answers makes all later cases tolerant, until the
    added inputs begin after `base_cases`, which EvalPlus checks in a run of their own.
    """
    tolerance = atol
    for index, (arguments, expected) in enumerate(cases):
        answer = candidate(*arguments)
        if index == base_cases:
            tolerance = atol
        if rule == "root":
            assert abs(polynomial(arguments[0], answer)) <= atol
            continue
        right = equal(answer, expected, arguments, rule, atol)
        if tolerance == 0 and is_floats(expected):
            tolerance = FLOAT_ATOL
        if not right and not close_enough(answer, expected, tolerance):
            assert answer == expected
            raise AssertionError(f"by the rule {rule!r}")


def equal(answer: Any, expected: Any, arguments: list[Any], rule: str, atol: float) -> bool:
    """Equality as a rule sees it."""
    match rule:
        case "any":
            return True
        case "set":
            return set(answer) == set(expected)
        case "not_none":
            return bool(answer == expected if isinstance(answer, bool) else expected == (answer is not None))
        case "or_zero":
            return bool(answer == expected or answer == 0)
        case "surface":
            return bool(answer == expected or abs(answer - surface(*arguments)) <= atol)
        case "digits":
            return bool(answer == expected or answer == digit_distance(*arguments))
    return bool(answer == expected)


def is_floats(value: Any) -> bool:
    """A float, or a list or tuple of nothing but floats."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def close_enough(answer: Any, expected: Any, tolerance: float) -> bool:
    """Of the same type and length, and every number within the tolerance; never where that is 0."""
    return tolerance != 0 and type(answer) is type(expected) and near(answer, expected, tolerance)


def near(answer: Any, expected: Any, tolerance: float) -> bool:
    """numpy.allclose(answer, expected, RTOL, tolerance) for equal shapes; no broadcasting."""
    if isinstance(expected, list | tuple):
        same_shape = isinstance(answer, list | tuple) and len(answer) == len(expected)
        return same_shape and all(map(near, answer, expected, [tolerance] * len(expected)))
    if not comparable(answer) or not comparable(expected):
        return False
    size = abs(expected)
    return bool(answer == expected or (size < math.inf and abs(answer - expected) <= tolerance + RTOL * size))


def comparable(value: Any) -> bool:
    """A number of numpy's: an integer beyond 64 bits is none."""
    return isinstance(value, float | complex) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 64)


def polynomial(coefficients: list[Any], x: Any) -> Any:
    """c0 + c1·x + c2·x² + …"""
    return sum(c * math.pow(x, power) for power, c in enumerate(coefficients))


def surface(base_edge: Any, height: Any) -> Any:
    """Of a square pyramid, where `height` is that of its apex, rounded."""
    slant = math.sqrt((base_edge / 2) ** 2 + height**2)
    return round(base_edge**2 + 2 * base_edge * slant)


def digit_distance(first: Any, second: Any) -> int:
    """The sum of the differences of digits, the shorter number filled with zeros."""
    width = max(len(str(first)), len(str(second)))
    pairs = zip(str(first).zfill(width), str(second).zfill(width), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in pairs)


def right_answer(value: Any, rule: str) -> Any:
    """What is kept of a right program's answer."""
    return value is not None if rule == "not_none" else value
