"""Base models' continuations: where they are cut, what after the cut is kept, and what is no code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmeval.extraction import extract
from pytest_llmeval.schema import Problem, Program, PromptStyle

BODY = "    result = 0\n    for number in numbers:\n        result += number\n    return result\n"


def complete(text: str, problem: Problem) -> Program | None:
    return extract(text, problem, PromptStyle.COMPLETION)


def body_of(program: Program | None, problem: Problem) -> str:
    """What the program holds beyond the prompt."""
    assert program is not None
    preamble, _, prompt = problem.prompt.partition("def total")
    assert preamble.strip() in program.source
    return program.source.partition(f"def total{prompt}")[2]


RUN_ONS = {
    "another function": 'def another(x):\n    """Cut inside a docstring\n    >>> another(',
    "the same function again": "def total(numbers):\n    return -1\n",
    "a class": "class Another:\n    pass\n",
    "tests": "assert total([1]) == 2\nprint(total([1]))\n",
    "a main block": "if __name__ == '__main__':\n    total(",
    "an open docstring": '"""\nThe next exercise',
    "an open bracket": "numbers = [1,\n",
    "prose": "The function above adds the numbers.\nIt's simple (isn't it?",
    "a fence": "```\n\nThis works.",
    "a comment": "# The end",
    "a special token": "<|endoftext|>import os\n",
    "a decorator": "@decorator\ndef another():\n    pass\n",
    "a heading": "## Exercise 2\n",
    "assignments": "total = 3\nprint(total)\n",
    "nothing": "",
    "CRLF": "\r\ndef another():\r\n    pass\r\n",
}


@pytest.mark.parametrize("run_on", RUN_ONS)
def test_a_continuation_ends_at_the_first_top_level_statement(run_on: str, problem: Problem) -> None:
    program = complete(f"{BODY}\n\n{RUN_ONS[run_on]}", problem)
    assert body_of(program, problem) == BODY
    assert program is not None
    assert (program.rule, program.repairs) == ("continuation", ())


def test_lines_of_strings_and_brackets_are_no_statements(problem: Problem) -> None:
    body = '    text = """\nin column 0\n"""\n    numbers = [\n0,\n] + numbers\n# a comment\n    return sum(numbers)\n'
    assert body_of(complete(f"{body}\nprint()", problem), problem) == body


def test_helpers_that_come_after_the_function_are_kept_where_it_needs_them(problem: Problem) -> None:
    later = "def add(a, b):\n    return a + b + ZERO\n\n\ndef unused():\n    pass\n\n\nZERO = 0\n"
    program = complete(f"    return add(0, sum(numbers))\n\n\n{later}", problem)
    assert program is not None
    assert "def add" in program.source
    assert "ZERO = 0" in program.source
    assert "unused" not in program.source


def test_an_import_after_the_function_is_kept_where_it_needs_it(problem: Problem) -> None:
    program = complete("    return math.floor(sum(numbers))\n\nimport math\nimport os\n", problem)
    assert program is not None
    assert "import math" in program.source
    assert "import os" not in program.source


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        (BODY.lstrip(), "indented_first_line"),
        ("return sum(numbers)", "indented_first_line"),
        ("result = sum(numbers)\nif result:\n    return result\nreturn 0\n", "indented_body"),
        (f"{BODY.rstrip()}<|endoftext|>import os", "special_tokens"),
        (BODY.replace("    ", "\u00a0" * 4), "spaces"),
        (f"{BODY}    if numbers[", "cut_tail"),
        (f'{BODY}    """\n    a docstring that never ends', "cut_tail"),
    ],
)
def test_damage_is_repaired_and_named(text: str, repair: str, problem: Problem) -> None:
    program = complete(text, problem)
    assert program is not None
    assert program.rule == "continuation"
    assert program.repairs == (repair,)
    compile(program.source, "program", "exec")


@pytest.mark.parametrize(
    "text",
    [
        f"def total(numbers):\n{BODY}",
        f"\n\ndef total(numbers):\n{BODY}\n\nprint(total([1]))\n",
        f"    pass\n\n\ndef total(numbers):\n{BODY}",
        f"Sure! Here it is:\n\n```python\ndef total(numbers):\n{BODY}```\nDone.",
        f"```python\n{BODY}```",
    ],
)
def test_what_is_no_continuation_is_read_as_a_chat_answer(text: str, problem: Problem) -> None:
    program = complete(text, problem)
    assert program is not None
    assert program.repairs == ()
    assert BODY in program.source


def test_a_stub_is_code_that_fails(problem: Problem) -> None:
    for text in ("    pass\n", "    # TODO\n", "    raise NotImplementedError()\n"):
        program = complete(text, problem)
        assert program is not None
        assert program.rule == "stub"
        compile(program.source, "program", "exec")


def test_a_syntax_error_is_kept_for_its_verdict(problem: Problem) -> None:
    program = complete("    retrun sum(numbers)\n", problem)
    assert program is not None
    assert program.rule == "uncompilable"


@pytest.mark.parametrize("text", ["", "\n\n", "   ", "\n\nclass Other:\n    pass\n", "print(total([1]))"])
def test_nothing_under_the_signature_is_no_code(text: str, problem: Problem) -> None:
    assert complete(text, problem) is None


def test_the_prompts_helpers_stay_in_front(problem_with_helper: Problem) -> None:
    program = complete("    return sum(double(n) for n in numbers)\n", problem_with_helper)
    assert program is not None
    assert program.source.startswith("import math")
    assert program.source.count("def double") == 1


def test_a_prompt_indented_with_tabs_takes_a_body_indented_with_tabs(problem: Problem) -> None:
    tabbed = replace(problem, prompt='def total(numbers):\n\t"""Sum."""\n')
    program = complete("return sum(numbers)", tabbed)
    assert program is not None
    compile(program.source, "program", "exec")


@pytest.mark.parametrize("text", [BODY, f"\n{BODY}"])
def test_a_prompt_that_lost_its_last_line_break_is_continued_all_the_same(
    text: str, problem: Problem
) -> None:
    program = complete(text, replace(problem, prompt=problem.prompt.rstrip()))
    assert program is not None
    assert program.repairs == ()
    assert BODY in program.source


def test_a_prompt_may_end_in_the_middle_of_a_statement(problem: Problem) -> None:
    program = complete(" sum(numbers)\n", replace(problem, prompt="def total(numbers):\n    return"))
    assert program is not None
    assert "return sum(numbers)" in program.source


def test_a_prompt_that_is_no_python_provides_nothing(problem: Problem) -> None:
    prose = replace(problem, prompt="Write a function total that adds numbers.")
    program = extract(f"```python\ndef total(numbers):\n{BODY}```", prose, PromptStyle.CHAT)
    assert program is not None
    assert program.source == f"def total(numbers):\n{BODY}"
