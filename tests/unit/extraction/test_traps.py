"""The known traps of chat answers, one test each: what is kept, what falls away, what is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmeval.extraction import extract
from pytest_llmeval.schema import Problem, Program, PromptStyle

BODY = "    result = 0\n    for number in numbers:\n        result += number\n    return result\n"
FUNCTION = f"def total(numbers):\n{BODY}"


def chat(text: str, problem: Problem) -> Program | None:
    return extract(text, problem, PromptStyle.CHAT)


def works(program: Program | None) -> bool:
    """Runs a program made from the trusted function above."""
    assert program is not None
    names: dict[str, object] = {}
    exec(program.source, names)
    total = names["total"]
    assert callable(total)
    return bool(total([1, 2]) == 3 and total([]) == 0)


def fence(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}```\n"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "",
        "   \n\n",
        "Sure!",
        "The total of the numbers is 3.",
        "```\n```",
        "```python\nprint('hello')\n```",
        "Je ne peux pas répondre à cette question.",
        "def",
        "total",
        "```text\nno code: return nothing\n```",
        "{}",
        "<think>I should refuse.</think>",
    ],
)
def test_refusals_and_prose_are_no_code(text: str, problem: Problem) -> None:
    assert chat(text, problem) is None
    assert extract(text, problem, PromptStyle.COMPLETION) is None


def test_the_prompts_imports_and_helpers_are_there(problem_with_helper: Problem) -> None:
    program = chat(
        fence("def total(numbers):\n    return sum(double(n) for n in numbers) + math.floor(0.5)\n"),
        problem_with_helper,
    )
    assert program is not None
    assert "import math" in program.source
    assert program.source.count("def double") == 1


def test_future_imports_open_the_program(problem: Problem) -> None:
    future = "from __future__ import annotations\n"
    program = chat(fence(f"import math\n{FUNCTION}"), replace(problem, prompt=future + problem.prompt))
    assert works(program)
    assert program is not None
    assert program.source.startswith(future)
    assert works(chat(fence(f"{future}\n{FUNCTION}"), problem))


def test_a_helper_repeated_as_a_stub_does_not_replace_the_prompts(problem_with_helper: Problem) -> None:
    stub = 'def double(x: int) -> int:\n    """Doubles."""\n'
    program = chat(
        fence(f"{stub}\ndef total(numbers):\n    return sum(map(double, numbers))\n"), problem_with_helper
    )
    assert program is not None
    assert program.source.count("def double") == 1
    assert "return 2 * x" in program.source


def test_a_missing_typing_import_is_repaired_and_named(problem: Problem) -> None:
    program = chat(
        fence("def total(numbers: Optional[List[int]]) -> int:\n    return sum(numbers)\n"), problem
    )
    assert works(program)
    assert program is not None
    assert program.repairs == ("typing_import",)


def test_typing_names_that_are_never_evaluated_need_no_repair(problem: Problem) -> None:
    program = chat(
        fence("def total(numbers):\n    result: Optional[int] = sum(numbers)\n    return result\n"), problem
    )
    assert works(program)
    assert program is not None
    assert program.repairs == ()


@pytest.mark.parametrize(
    ("answer", "repair"),
    [
        (fence(FUNCTION.replace("    ", "\u00a0\u00a0\u00a0\u00a0")), "spaces"),
        (fence(FUNCTION.replace("= 0", "= len(“”)")), "quotes"),
        (fence(FUNCTION.replace("= 0", "= len(‘’)")), "quotes"),
        (
            fence(
                FUNCTION.replace("+= number", "+= number if 1 &lt; 2 &amp;&amp; 1 else 0").replace(
                    "&amp;&amp;", "and"
                )
            ),
            "html_entities",
        ),
        (fence(FUNCTION.replace("result += number", "result +=\u200b number")), "invisible_characters"),
        (fence(FUNCTION.replace("(numbers):", "（numbers）：")), "punctuation"),
        (fence(FUNCTION.replace("    result = 0", "\tresult = 0")), "tabs"),
        (FUNCTION.rstrip() + "<|im_end|>\n", "special_tokens"),
        (FUNCTION.rstrip() + "</s>", "special_tokens"),
        (FUNCTION.replace("\n", "\\n"), "literal_newlines"),
        ("\n".join(f"    {line}" for line in FUNCTION.split("\n")), "dedent"),
        (f"The answer: {FUNCTION}", "code_after_prose"),
        (f"<answer>{FUNCTION}</answer>", "tags"),
        (f"{FUNCTION.rstrip()}```\nDone.", "fence_after_code"),
        ("".join(f"> {line}\n" for line in FUNCTION.split("\n")), "quote_marks"),
        (fence("".join(f"{i}  {line}\n" for i, line in enumerate(FUNCTION.split("\n"), 1))), "line_numbers"),
        (fence("".join(f"+{line}\n" for line in FUNCTION.split("\n")), "diff"), "diff_markers"),
        (fence(FUNCTION.replace("def total", "def Total")), "respelt_name"),
    ],
)
def test_damage_by_transport_is_repaired_and_named(answer: str, repair: str, problem: Problem) -> None:
    program = chat(answer, problem)
    assert works(program)
    assert program is not None
    assert program.repairs == (repair,)


def test_two_kinds_of_damage_are_both_named(problem: Problem) -> None:
    damaged = FUNCTION.replace("    ", "\u00a0\u00a0\u00a0\u00a0").replace("= 0", "= len(“”)")
    program = chat(fence(damaged), problem)
    assert works(program)
    assert program is not None
    assert program.repairs == ("spaces", "quotes")


def test_typographic_characters_inside_strings_stay(problem: Problem) -> None:
    damaged = FUNCTION.replace("= 0", "= len('“it’s”\u00a0–') - 8").replace("    ", "\u00a0   ")
    program = chat(fence(damaged), problem)
    assert works(program)
    assert program is not None
    assert "'“it’s”\u00a0–'" in program.source


def test_an_undamaged_program_is_never_repaired(problem: Problem) -> None:
    program = chat(fence(FUNCTION.replace("= 0", "= 0 if '&lt;' != '“\u00a0”' else 1")), problem)
    assert works(program)
    assert program is not None
    assert program.repairs == ()


def test_a_longer_test_block_does_not_win(problem: Problem) -> None:
    tests = "import pytest\n\n" + "\n".join(
        f"def test_{i}():\n    assert total([{i}]) == {i}\n" for i in range(30)
    )
    program = chat(f"{fence(FUNCTION)}\nTests:\n\n{fence(tests)}", problem)
    assert works(program)
    assert program is not None
    assert "test_" not in program.source


def test_the_corrected_answer_wins(problem: Problem) -> None:
    wrong = "def total(numbers):\n    print(numbers)\n    return len(numbers) + 40\n"
    assert works(chat(f"{fence(wrong)}\nSorry, corrected:\n\n{fence(FUNCTION)}", problem))


def test_a_mere_alternative_does_not_replace_the_answer(problem: Problem) -> None:
    other = "def total(numbers):\n    return -1\n"
    assert works(chat(f"{fence(FUNCTION)}\nAlternatively, as a one-liner:\n\n{fence(other)}", problem))
    assert not works(
        chat(f"{fence(FUNCTION)}\nActually, the corrected alternative:\n\n{fence(other)}", problem)
    )


def test_a_step_of_the_explanation_does_not_replace_the_answer(problem: Problem) -> None:
    step = "def total(numbers):\n    result = 0\n    for number in numbers:\n        result += number\n"
    assert works(chat(f"{fence(FUNCTION)}\nLet us look at the loop:\n\n{fence(step)}", problem))


def test_a_new_line_for_the_function_does_not_replace_it(problem: Problem) -> None:
    addition = "def total(numbers):\n    if not numbers:\n        return 0\n"
    longer = FUNCTION.replace("    return", "    print(result)\n    note = 'done'\n    return")
    assert works(chat(f"{fence(longer)}\nYou may add a check:\n\n{fence(addition)}", problem))


def test_a_shorter_answer_that_ends_without_a_result_may_still_be_the_answer(problem: Problem) -> None:
    first = "def total(numbers):\n    result = -1\n    return result\n"
    second = "def total(numbers):\n    if True:\n        return sum(numbers)\n"
    assert works(chat(f"{fence(first)}\nFixed:\n\n{fence(second)}", problem))


def test_a_helper_left_out_in_the_last_block_is_taken_from_an_earlier_one(problem: Problem) -> None:
    helper = "def add(a, b):\n    return a + b\n"
    last = 'def add(a, b):\n    """As before."""\n    # (...)\n\n' + FUNCTION.replace(
        "result += number", "result = add(result, number)"
    )
    assert works(chat(f"Helper:\n\n{fence(helper)}\nFunction:\n\n{fence(last)}", problem))


def test_an_elided_repetition_does_not_replace_the_answer(problem: Problem) -> None:
    elided = "def total(numbers):\n    result = 0\n    ...\n    return result\n"
    assert works(chat(f"{fence(FUNCTION)}\nIn short:\n\n{fence(elided)}", problem))


@pytest.mark.parametrize(
    "nothing", ["pass", "...", "raise NotImplementedError", '"""Later."""', "# TODO\n    pass"]
)
def test_a_stub_does_not_replace_the_answer(nothing: str, problem: Problem) -> None:
    assert works(
        chat(f"{fence(FUNCTION)}\n{fence(f'def total(numbers):{chr(10)}    {nothing}{chr(10)}')}", problem)
    )


def test_a_stub_alone_is_code_that_fails(problem: Problem) -> None:
    program = chat(fence("def total(numbers):\n    pass\n"), problem)
    assert program is not None
    assert program.rule.startswith("stub")


def test_code_that_does_not_compile_is_kept_for_its_verdict(problem: Problem) -> None:
    program = chat(fence("def total(numbers)\n    return sum(numbers)\n"), problem)
    assert program is not None
    assert program.rule == "uncompilable"
    with pytest.raises(SyntaxError):
        compile(program.source, "program", "exec")


def test_an_answer_cut_at_the_length_limit_keeps_its_first_complete_block(problem: Problem) -> None:
    assert works(
        chat(f"{fence(FUNCTION)}\nAgain:\n\n```python\ndef total(numbers):\n    result = 0\n", problem)
    )


def test_an_answer_cut_in_the_middle_is_cut_back_and_named(problem: Problem) -> None:
    program = chat(f"```python\n{FUNCTION}    if resu", problem)
    assert works(program)
    assert program is not None
    assert "cut_tail" in program.repairs or program.repairs == ()


def test_reasoning_is_not_the_answer(problem: Problem) -> None:
    draft = fence("def total(numbers):\n    return 'draft'\n")
    for opening, closing in [
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<reasoning>", "</reasoning>"),
        ("[THINK]", "[/THINK]"),
        ("", "</think>"),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("◁think▷", "◁/think▷"),
        ("<seed:think>", "</seed:think>"),
    ]:
        program = chat(f"{opening}\nHmm.\n{draft}{closing}\n\n{fence(FUNCTION)}", problem)
        assert works(program), opening
        assert program is not None
        assert program.repairs == ()


def test_the_end_of_a_turn_does_not_make_the_answer_reasoning(problem: Problem) -> None:
    program = chat(f"{fence(FUNCTION)}<|end|>", problem)
    assert works(program)
    assert program is not None
    assert program.repairs == ()


def test_code_in_reasoning_that_never_ended_is_named(problem: Problem) -> None:
    program = chat(f"<think>\nLet me see.\n{fence(FUNCTION)}\nNow let me check", problem)
    assert works(program)
    assert program is not None
    assert program.repairs == ("code_in_reasoning",)


def test_reasoning_without_code_leaves_nothing(problem: Problem) -> None:
    assert chat("<think>\nI wonder what total means", problem) is None


NEEDS = {
    "imports, constants and helpers": (
        "import math\n\nLIMIT = 0\n\ndef note(n):\n    LOG.append(n)\n\nLOG = []\n",
        "result = 0",
        "result = LIMIT; note(math.pi)",
    ),
    "generators": ("def each(values):\n    yield from values\n", "in numbers", "in each(numbers)"),
    "decorators": ("from functools import cache\n\n@cache\ndef zero():\n    return 0\n", "= 0", "= zero()"),
    "classes": (
        "class Adder:\n    def add(self, a, b):\n        return a + b\n",
        "result += number",
        "result = Adder().add(result, number)",
    ),
    "loops that fill a table": ("TABLE = {}\nfor i in range(3):\n    TABLE[i] = i\n", "= 0", "= TABLE[0]"),
    "calls that change a table": ("PRIMES = [1]\nPRIMES.clear()\n", "= 0", "= len(PRIMES)"),
    "calls that set a global": (
        "state = None\n\ndef prepare():\n    global state\n    state = 0\n\nprepare()\n",
        "= 0",
        "= state",
    ),
    "guarded imports": (
        "try:\n    import not_there as np\nexcept ImportError:\n    np = None\n",
        "= 0",
        "= 0 if np is None else 1",
    ),
    "guarded constants": (
        "import sys\n\nif sys.version_info >= (3,):\n    ZERO = 0\nelse:\n    ZERO = 1\n",
        "= 0",
        "= ZERO",
    ),
    "type aliases": (
        "from typing import Dict\n\nCounts = Dict[str, int]\n",
        "(numbers)",
        "(numbers) -> Counts",
    ),
    "dataclasses": (
        "from dataclasses import dataclass\n\n@dataclass\nclass Sum:\n    value: int = 0\n",
        "= 0",
        "= Sum().value",
    ),
    "settings of modules": (
        "import sys\nsys.setrecursionlimit(5000)\n",
        "= 0",
        "= sys.getrecursionlimit() - 5000",
    ),
    "names in evaluated strings": ("ZERO = 0\n", "= 0", "= eval('ZERO')"),
    "star imports": ("from math import *\n", "= 0", "= floor(0.5)"),
}


@pytest.mark.parametrize("need", NEEDS)
def test_what_the_entry_point_needs_stays(need: str, problem: Problem) -> None:
    preamble, old, new = NEEDS[need]
    program = chat(fence(f"{preamble}\n{FUNCTION.replace(old, new)}"), problem)
    assert works(program)
    assert program is not None
    assert program.repairs == ()


@pytest.mark.parametrize(
    "code",
    [
        "total = lambda numbers: sum(numbers)\n",
        "def _total(numbers):\n    return sum(numbers)\n\ntotal = _total\n",
        "from typing import Callable\n\ntotal: Callable = lambda numbers: sum(numbers)\n",
        "import functools\n\ndef total(n):\n    return sum(n)\n\ntotal = functools.cache(total).__wrapped__\n",
        "if True:\n    def total(numbers):\n        return sum(numbers)\n",
        "class Solution:\n    def total(self, n): return self.add(n)\n    def add(self, n): return sum(n)\n",
        "class Solution:\n    @classmethod\n    def total(cls, numbers):\n        return sum(numbers)\n",
        "class Solution:\n    @staticmethod\n    def total(numbers):\n        return sum(numbers)\n",
        "class Solution:\n    def total(numbers):\n        return sum(numbers)\n",
        "def total(numbers): return sum(numbers); print('never')\n",
        "from __future__ import annotations\n\ndef total(numbers: Nothing) -> Nowhere:\n    return sum(numbers)\n",
    ],
)
def test_the_entry_point_may_be_defined_in_many_ways(code: str, problem: Problem) -> None:
    program = chat(fence(code), problem)
    assert works(program)
    assert program is not None
    assert program.repairs == ()


@pytest.mark.parametrize(
    "extra",
    [
        "print(total([1]))",
        "assert total([1]) == 2",
        "result = total([1])\nprint(result)",
        "if __name__ == '__main__':\n    raise SystemExit(total([1]))",
        "def main():\n    raise SystemExit\n\nmain()",
        "import unittest\n\nclass TestTotal(unittest.TestCase):\n    pass\n\nunittest.main()",
        "import doctest\ndoctest.testmod()",
        "for numbers in ([1], [2]):\n    print(total(numbers))\n    raise SystemExit",
        "numbers = [int(x) for x in input().split()]\nprint(total(numbers))",
        "def check(candidate):\n    assert candidate([1]) == 2\n\ncheck(total)",
        "def test_total():\n    assert total([1]) == 1\n\ntest_total()",
        "import numpy as np\nimport a_package_that_is_not_there",
        "try:\n    total(None)\nexcept TypeError:\n    raise SystemExit",
        "total = total([1, 2])",
        "with open('/nonexistent') as file:\n    print(total(file))",
        "while total([1]):\n    pass",
        "import sys\nsys.exit(total([]))",
        "raise SystemExit",
        "del total",
        "@staticmethod\ndef other():\n    raise SystemExit\n\nother()",
    ],
)
def test_examples_tests_and_prints_fall_away(extra: str, problem: Problem) -> None:
    program = chat(fence(f"{FUNCTION}\n{extra}\n"), problem)
    assert works(program)
    assert program is not None
    assert program.repairs == ()
    assert "SystemExit" not in program.source


def test_names_are_looked_up_in_the_other_blocks(problem: Problem) -> None:
    parts = [
        fence("import math\nfrom collections import deque\n"),
        fence("ZERO = 0\n\ndef helper(numbers):\n    return sum(deque(numbers)) + ZERO\n"),
        fence("def total(numbers):\n    return helper(numbers) + math.floor(0.5)\n"),
        fence("print(total([1]))\n"),
    ]
    program = chat("Imports:\n{}\nHelper:\n{}\nFunction:\n{}\nExample:\n{}".format(*parts), problem)
    assert works(program)
    assert program is not None
    assert program.rule.endswith("assembled")


@pytest.mark.parametrize(
    "text",
    [
        fence(FUNCTION, ""),
        fence(FUNCTION).replace("\n", "\r\n"),
        fence(FUNCTION).replace("```", "~~~"),
        f"{FUNCTION}```\nIt's done.",
        f"{FUNCTION}```\n\nUsage:\n\n{fence('print(total([1]))' + chr(10))}",
        f"{fence(FUNCTION)}```\nNote the doubled fence.",
        f"```\n```python\n{FUNCTION}```\n",
        f"```python\n{FUNCTION}",
        f"python\n{FUNCTION}",
        f"```\npython\n{FUNCTION}```",
        f"```Python 3\n{FUNCTION}```",
        f"```{{.python}}\n{FUNCTION}```",
        f"1. Code:\n\n   ```python\n{FUNCTION}   ```\n",
        f"- Code:\n\n{''.join('      ' + line + chr(10) for line in fence(FUNCTION).split(chr(10)))}",
        f"<details>\n<summary>Code</summary>\n{fence(FUNCTION)}</details>",
        f"Use this: `{FUNCTION.strip()}`.",
        "It is ```python def total(numbers): return sum(numbers)``` and that is all.",
        f"```python\n{FUNCTION}``` This is the end.\nBye.",
        f"Here it is: ```python\n{FUNCTION}```",
        f"```python\n!pip install numpy\n{FUNCTION}\nOutput: 3\n```",
        f"[PYTHON]\n{FUNCTION}[/PYTHON]",
        f"```python\n{FUNCTION.rstrip()}```\nDone.",
        f"Voilà, c'est l'essentiel :\n\n{FUNCTION}\nN'est-ce pas ? (J'espère",
        f"````md\n{fence(FUNCTION)}````",
        fence(FUNCTION.replace(":\n", ':\n    """\n    ```python\n    total([1])\n    ```\n    """\n', 1)),
        fence(
            FUNCTION.replace(":\n", ":\n    '''\n    # Heading\nprose in column 0, it's fine\n    '''\n", 1)
        ),
    ],
)
def test_fences_of_every_kind_are_read(text: str, problem: Problem) -> None:
    program = chat(text, problem)
    assert works(program)
    assert program is not None
    assert program.repairs == ()


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        fence(BODY),
        BODY.lstrip(),
        fence("\n".join(line.removeprefix("    ") for line in BODY.split("\n"))),
        f"{BODY}```\nDone.",
        f"Here is the body:\n\n{BODY}",
        f"{BODY}\nThis adds the numbers, one by one.",
    ],
)
def test_bodies_are_put_under_the_prompts_signature(text: str, problem: Problem) -> None:
    program = chat(text, problem)
    assert works(program)
    assert program is not None
    assert program.rule == "body"


def test_another_functions_body_is_not_taken_for_the_answer(problem: Problem) -> None:
    assert chat(fence(FUNCTION.replace("total", "something_else")), problem) is None


def test_json_is_unwrapped(problem: Problem) -> None:
    import json

    for text in (
        json.dumps({"code": FUNCTION}),
        json.dumps({"steps": ["total adds"], "answer": {"python": fence(FUNCTION)}}),
        fence(json.dumps({"code": FUNCTION}, indent=2) + "\n", "json"),
    ):
        program = chat(text, problem)
        assert works(program)
        assert program is not None
        assert program.rule == "json"


def test_deeply_nested_code_is_read(problem: Problem) -> None:
    long_sum = " + ".join(["0"] * 400)
    branches = "".join(f"    elif result == {i}:\n        pass\n" for i in range(60))
    start = f"def total(numbers):\n    result = {long_sum}\n    if result:\n        pass\n"
    code = f"{start}{branches}    return sum(numbers)\n"
    assert works(chat(f"{fence(FUNCTION)}{fence(code)}", problem))


def test_an_async_function_stays_what_it_is(problem: Problem) -> None:
    program = chat(fence("async def total(numbers):\n    return sum(numbers)\n"), problem)
    assert program is not None
    assert "async def total" in program.source
