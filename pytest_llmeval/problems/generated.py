"""Writes tests: cases and rules as data, the oracle's source around them; and what measures right answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

OURS = Path(__file__).parent

# An entry point may be called `check` (Mbpp/56) or `sum` (Mbpp/126): what is under test is taken away before
# anything is defined, and gets its name back only where that hides nothing.
TEST = """\
_under_test = {entry_point}
del {entry_point}
{sources}

ARGUMENTS = {arguments!r}
REFERENCE = {reference!r}
RULE, ATOL, BASE_CASES = {rule!r}, {atol!r}, {base_cases!r}
EXPECTED = None
LEFT_OUT = ()


def reference():
    namespace = {{}}
    exec(REFERENCE, namespace)
    return namespace[{entry_point!r}]


def cases():
    asked, again = (
        [a for index, a in enumerate(loads(ARGUMENTS)) if index not in LEFT_OUT] for _ in range(2)
    )
    if EXPECTED is not None:
        return zip(asked, loads(EXPECTED))
    right = reference()
    return zip(asked, (right_answer(right(*arguments), RULE) for arguments in again))


def check(candidate):
    judge(_under_test, cases(), RULE, ATOL, BASE_CASES)


import builtins
vars(builtins).get({entry_point!r}) or globals().setdefault({entry_point!r}, _under_test)
"""
EXPECTED = """

EXPECTED = {expected!r}
LEFT_OUT = {left_out!r}
BASE_CASES -= sum(index < BASE_CASES for index in LEFT_OUT)
"""
# Printed a line per case: seconds and the right answer's text, or why there is none.
MEASURE = """\
def measure():
    import time
    namespace = {{{entry_point!r}: None}}
    exec({test!r}, namespace)
    reference, kept_bytes = namespace["reference"](), 0
    for arguments in namespace["loads"](namespace["ARGUMENTS"]):
        started = time.perf_counter()
        try:
            answer = reference(*arguments)
            seconds = time.perf_counter() - started
            if weight(answer, {one_bytes}) > {one_bytes}:
                raise MemoryError
            answer = namespace["right_answer"](answer, namespace["RULE"])
            text = namespace["dumps"](answer)
        except MemoryError:
            answer, seconds, text = None, time.perf_counter() - started, ""
        kept_bytes += len(text)
        status = "answer" if text and len(text) <= {one_bytes} else "too_large"
        if kept_bytes > {all_bytes}:
            text = ""
        print(status, seconds, text if status == "answer" else "", flush=True)


def weight(value, enough):
    left, total = [value], 0
    while left and total <= enough:
        value = left.pop()
        if isinstance(value, (list, tuple, set, frozenset)):
            left.extend(value)
        elif isinstance(value, dict):
            left.extend(value)
            left.extend(value.values())
        total += len(value) if isinstance(value, (str, bytes)) else 2
    return total
"""


@dataclass(frozen=True, slots=True)
class Cases:
    """What a test asks: texts of argument lists (see `plain`), and the rule for answers.

    `expected` is the text of the right answers where the data holds them.
    """

    arguments: str
    rule: str = "equal"
    atol: float = 0
    base_cases: int = 0
    expected: str | None = None


def checking_source(cases: Cases, entry_point: str, reference: str) -> str:
    """Source that defines `check`; right answers that the data lacks come from `reference`, at each call."""
    source = TEST.format(
        sources=_sources(),
        entry_point=entry_point,
        arguments=cases.arguments,
        reference=reference,
        rule=cases.rule,
        atol=cases.atol,
        base_cases=cases.base_cases,
    )
    return source if cases.expected is None else with_expected(source, cases.expected)


def with_expected(test: str, expected: str | None, left_out: tuple[int, ...] = ()) -> str:
    """The test without the cases that are `left_out`, with the right answers of all others if not None."""
    return test + EXPECTED.format(expected=expected, left_out=left_out)


def measuring_source(test: str, entry_point: str, one_bytes: int, all_bytes: int) -> str:
    """A program whose `measure()` prints the right answers of a test, and how long each took."""
    return MEASURE.format(test=test, entry_point=entry_point, one_bytes=one_bytes, all_bytes=all_bytes)


@cache
def _sources() -> str:
    return "\n\n".join((OURS / name).read_text("utf-8") for name in ("plain.py", "oracle.py"))
