"""Answers are parsed, never run: whatever they hold, extraction ends soon and never raises."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_problems import make_problem

from pytest_llmeval.extraction import extract
from pytest_llmeval.schema import Problem, PromptStyle

SIZE = 60_000
PATIENCE_S = 15.0  # a tenth of it on an idle machine

LOADS = {
    "backticks": "`" * SIZE,
    "fence lines": "```\n" * (SIZE // 4),
    "answers": "```python\ndef total(x):\n    return x\n```\n" * (SIZE // 45),
    "different answers": "".join(f"```\ndef total(x):\n    return f{i}(x)\n```\n" for i in range(SIZE // 40)),
    "broken answers": "```python\ndef total(x:\n    return x\n```\n" * (SIZE // 45),
    "definitions": "def total(x):\n    return x\n" * (SIZE // 28),
    "a chain": "".join(f"def f{i}(x):\n    return f{i + 1}(x)\n" for i in range(SIZE // 32))
    + "def total(x): return f0(x)",
    "brackets": "(\n" * (SIZE // 2),
    "triple quotes": 'x = """\n' * (SIZE // 8),
    "reasoning": "<think>" * (SIZE // 7),
    "lists": "- a\n" * (SIZE // 4),
    "quotes of quotes": "> " * (SIZE // 2),
    "white space": " \n\t" * (SIZE // 3),
    "one word": "a" * SIZE,
    "nested blocks": "".join(" " * i + "if x:\n" for i in range(400)),
    "JSON": '{"a":' * (SIZE // 5),
    "JSON of code": '{"c": "' + "def total(x):\\n  return (x\\n" * (SIZE // 30) + '"}',
    "zeros": "\0" * SIZE,
    "lone surrogates": "\ud800" * 1000 + "def total(x):\n    return 1\n",
    "a huge number": f"def total(x):\n    return {'9' * (SIZE // 2)}\n",
    "deep minus": f"def total(x):\n    return {'-' * (SIZE // 2)}1\n",
    "deep sums": f"def total(x):\n    return {'1+' * 30_000}1\n",
    "deep attributes": f"def total(x):\n    return x{'.a' * 30_000}\n",
    "many methods": "class Solution:\n" + "    def total(self, x):\n        return 1\n" * 1500,
    "a long body": "    x = 1\n" * (SIZE // 10) + "    return (x\n",
    "inline code": "`def total(x): return (`" * (SIZE // 25),
}


@pytest.mark.parametrize("style", PromptStyle)
@pytest.mark.parametrize("load", LOADS)
def test_hostile_texts_cost_little_time_and_raise_nothing(
    load: str, style: PromptStyle, problem: Problem
) -> None:
    start = time.perf_counter()
    extract(LOADS[load], problem, style)
    assert time.perf_counter() - start < PATIENCE_S


@pytest.mark.parametrize("load", ["triple quotes", "lists", "definitions"])
def test_a_hostile_megabyte_is_bounded_too(load: str, problem: Problem) -> None:
    """The worst ones known: seconds, where they once took twenty."""
    text = (LOADS[load] * (1_000_000 // len(LOADS[load]) + 1))[:1_000_000]
    start = time.perf_counter()
    extract(text, problem, PromptStyle.COMPLETION)
    assert time.perf_counter() - start < PATIENCE_S


def test_of_very_many_statements_the_last_count(problem: Problem) -> None:
    text = (
        "Look:\n"
        + "x = 1\n" * 5_000
        + "\nSo:\n```python\ndef total(numbers):\n    return sum(numbers)\n```\n"
    )
    program = extract(text, problem, PromptStyle.CHAT)
    assert program is not None
    assert program.rule == "closed_fences"


def test_nothing_of_an_answer_is_executed(tmp_path: Path, problem: Problem) -> None:
    trace = tmp_path / "executed"
    act = f"open({str(trace)!r}, 'w')"
    for text in (
        f"```python\n{act}\n\ndef total(x={act}):\n    return {act}\n```",
        f"```python\n@{act}\ndef total(x):\n    return 1\n\nclass A(metaclass={act}): pass\n```",
        f"    return {act}\n\n{act}\n",
        f"<think>{act}</think>{act}",
        f'{{"code": "{act}"}}',
    ):
        for style in PromptStyle:
            extract(text, problem, style)
    assert not trace.exists()


def test_every_program_can_be_stored(problem: Problem) -> None:
    program = extract("```python\ndef total(x):\n    return '\ud800'\n```", problem, PromptStyle.CHAT)
    assert program is not None
    program.source.encode()


def test_threads_do_not_disturb_one_another(problem: Problem) -> None:
    answer = "```python\ndef total(numbers):\n    return sum(numbers) if '\\d' else 0\n```"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: extract(answer, problem, PromptStyle.CHAT), range(200)))
    assert set(found) == {extract(answer, problem, PromptStyle.CHAT)}
    assert None not in found


def test_answers_do_not_warn(problem: Problem) -> None:
    """`-W error` would turn a warning about an answer's escape into a rejected answer."""
    text = "```python\ndef total(numbers):\n    return sum(numbers) if '\\d' is not 1 else 0\n```"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert extract(text, problem, PromptStyle.CHAT) is not None


FRAGMENTS = [
    "def total(numbers):\n", "    return sum(numbers)\n", "    for n in numbers:\n", "        pass\n", "```python\n",
    "```\n", "~~~\n", "<think>", "</think>", "import math\n", '"""', "'''", "Sure, here's it: ", "\n", "> ", "1. ", "(",
    ")", "# x\n", "class Solution:\n", "    def total(self, n):\n", "        return 1\n", "total = ", "lambda x: 1\n",
    "@", "assert total([1]) == 1\n", "\\n", "&lt;", "“", "\u00a0", "\t", "`", '{"code": "', '"}', "...\n", "else:\n",
    "<answer>", "</answer>", "if __name__ == '__main__':\n", "\u200b", "+", "- ", ">>> ", "    ", "é\u0301🙂",
]  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)),
    style=st.sampled_from(PromptStyle),
)
def test_every_program_compiles_or_says_that_it_does_not(text: str, style: PromptStyle) -> None:
    program = extract(text, make_problem(), style)
    if program is not None and program.rule != "uncompilable":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(program.source, "program", "exec")
        assert "total" in program.source


GROWING = {
    "keywords on one line": lambda n: "for : " * n + "x\n    return 1\n",
    "escaped double quotes": lambda n: '\\"' * n,
    "escaped single quotes": lambda n: "\\'" * n,
    "triple quotes that never end": lambda n: '"""\n' + '\\"""\n' * n,
    "one function that alters all, called all the time": lambda n: (
        "def f():\n    global "
        + ",".join(f"a{i}" for i in range(n // 4))
        + "\n"
        + "".join(f"    a{i}=1\n" for i in range(n // 4))
        + "f()\n" * (n // 4)
        + "def total(x):\n    return a0\n"
    ),
    "names that are nowhere": lambda n: (
        "```\ndef total(x):\n    return [" + ",".join(f"q{i}" for i in range(n)) + "]\n```\n" + "z = 1\n" * n
    ),
}


@pytest.mark.parametrize("load", GROWING)
def test_four_times_the_text_costs_four_times_the_time(load: str, problem: Problem) -> None:
    """Sixteen times would be quadratic; what both take at least is left out of account."""
    small, large = (_seconds(GROWING[load](n), problem) for n in (2_500, 10_000))
    assert large < 9 * small + 0.2


def _seconds(text: str, problem: Problem) -> float:
    """Of CPU, at best: other work on the machine does not count."""
    taken = []
    for _ in range(2):
        start = time.thread_time()
        extract(text, problem, PromptStyle.CHAT)
        taken.append(time.thread_time() - start)
    return min(taken)


UNREADABLE = {
    "a number too long to be written": "def total(x):\n    return 0x" + "f" * 5_000,
    "a character's number too long to be read": "def total(x):\n    return 1  # &#" + "9" * 5_000 + ";",
    "carriage returns, escaped": "def total(x):\\r    return 1\\ry = 2\\r",
    "carriage returns in JSON": '{"code": "def total(x):\\r    return 1\\ry = 2\\r"}',
    "carriage returns of a web page": "def total(x):&#13;    return 1&#13;y = 2",
}


@pytest.mark.parametrize("style", PromptStyle)
@pytest.mark.parametrize("name", UNREADABLE)
def test_what_the_standard_library_cannot_read_or_write_is_an_answer_like_any_other(
    name: str, style: PromptStyle, problem: Problem
) -> None:
    program = extract(UNREADABLE[name], problem, style)
    assert program is not None
    assert program.rule != "uncompilable"
    assert "\r" not in program.source
