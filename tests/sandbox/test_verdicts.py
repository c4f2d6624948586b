"""What a verdict says, and that the problem alone decides how it is reached."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judging import QUICK, SQUARE, judged, problem

from pytest_llmeval.sandbox import Executor
from pytest_llmeval.schema import Channel, Outcome

FAILURES = {
    "literal": ("assert candidate([1, 2]) == 3", "return 4", "assert candidate([1, 2]) == 3: got 4"),
    "message": ("assert candidate(1) == 2, 'no'", "return 'x'", "assert candidate(1) == 2: got 'x'"),
    "variables": (
        "for n, want in ((1, 1), (2, 4)):\n    assert candidate(n) == want",
        "return x",
        "assert candidate(n) == want: got 2 from candidate(2), expected 4",
    ),
    "many lines": (
        "assert candidate(\n    [1,\n     2]\n) == [\n    3]",
        "return None",
        "assert candidate( [1, 2] ) == [ 3]: got None",
    ),
    "tolerance": (
        "assert abs(candidate(1) - 1) < 1e-6",
        "return None",
        "TypeError: unsupported operand type(s) for -: 'NoneType' and 'int' in "
        "assert abs(candidate(1) - 1) < 1e-6: got None",
    ),
    "long": (
        "assert candidate(1) == 2",
        "return 'y' * 500",
        "assert candidate(1) == 2: got '" + "y" * 118 + "…",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failed_assertion_shows_its_values(strongest: Executor, case: str) -> None:
    test, body, detail = FAILURES[case]
    verdict = judged(strongest, f"def f(x):\n    {body}\n", problem(test))
    assert (verdict.outcome, verdict.detail) == (Outcome.WRONG_ANSWER, detail)


ENDINGS = {
    "def f(x): raise ValueError('no')": (Outcome.EXCEPTION, "ValueError: no"),
    "class Own(KeyError): pass\ndef f(x): raise Own('k')": (Outcome.EXCEPTION, "Own: 'k'"),
    "def f(x): assert x == 0, 'mine'": (Outcome.EXCEPTION, "AssertionError: mine"),
    "def f(x): return g(x)": (Outcome.EXCEPTION, "NameError: name 'g' is not defined"),
    "def g(x): return x": (Outcome.EXCEPTION, "NameError: name 'f' is not defined"),
    "1 / 0": (Outcome.EXCEPTION, "ZeroDivisionError: division by zero"),
    "import nowhere_to_be_found": (
        Outcome.EXCEPTION,
        "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    ),
    "def f(x:": (Outcome.SYNTAX_ERROR, "SyntaxError: '(' was never closed (<program>, line 1)"),
    "def f(x): return lambda: 9": (
        Outcome.WRONG_ANSWER,
        "not_plain_data: returned a value that cannot cross: function",
    ),
    "def f(x): return bytearray(1 << 40)": (Outcome.MEMORY, "MemoryError"),
}


@pytest.mark.parametrize("source", ENDINGS)
def test_each_ending_has_its_outcome(strongest: Executor, source: str) -> None:
    verdict = judged(strongest, source)
    assert (verdict.outcome, verdict.detail) == ENDINGS[source]
    assert verdict.channel is Channel.SPLIT


ODDITIES = {
    "nul": "def f(x): return x * x\n# \0",
    "lone surrogate": "def f(x): return x * x\n# \ud800",
    "nested brackets": "x = " + "(" * 75_000 + ")" * 75_000,
    "nested lists": "x = " + "[" * 150 + "]" * 150 + "\n" + "-" * 150_000 + "1",
    "unknown encoding": "# -*- coding: nonsense -*-\ndef f(x): return x *",
    "tabs and spaces": "def f(x):\n\tif x:\n        return x",
}


@pytest.mark.parametrize("name", ODDITIES)
def test_an_odd_source_is_just_a_failing_sample(strongest: Executor, name: str) -> None:
    lost = strongest.respawns
    verdict = judged(strongest, ODDITIES[name])
    assert verdict.outcome in (Outcome.SYNTAX_ERROR, Outcome.KILLED)
    assert strongest.respawns == lost


PASSING = {
    "five megabytes": "def f(x): return x * x\n"
    + "# padding\n" * (5 << 20 >> 4)
    + "y = '"
    + "z" * (3 << 20)
    + "'",
    "declared encoding": "# -*- coding: latin-1 -*-\ndef f(x): return x * x  # é",
    "bare name": "assert __name__ == 'builtins'\ndef f(x): return x * x",
    "not main": "def f(x): return x * x\nif __name__ == '__main__':\n    1 / 0",
    "backslash at the end": "def f(x): return x * x\ny = 1 \\",
    "no arguments": "import sys\nassert sys.argv == ['']\ndef f(x): return x * x",
    "threads": "import threading as t\na = t.Thread(target=print)\na.start()\ndef f(x): return x * x",
    "own streams": "import sys, io\nsys.stdout = io.StringIO()\nsys.stderr = None\ndef f(x): return x * x",
    "closed streams": "import sys\nsys.stdout.close()\ndef f(x): return x * x",
    "no input": "try:\n    input()\nexcept OSError:\n    pass\ndef f(x): return x * x",
    "no lines": "import sys\ntry:\n    list(sys.stdin)\nexcept OSError:\n    pass\ndef f(x): return x * x",
    "generator of itself": "def f(x):\n    global f\n    g = f\n    return x * x",
    "recursion": "def f(x): return x * x if depth(900) else 0\ndef depth(n): return n == 0 or depth(n - 1)",
    "clean environment": "import os\nassert 'LLMEVAL_SECRET' not in os.environ\ndef f(x): return x * x",
    "surrogate in output": "print('\\ud800')\ndef f(x): return x * x",
    "set order": "assert list({'a', 'b', 'c'}) == list({'a', 'b', 'c'})\ndef f(x): return x * x",
}


@pytest.mark.parametrize("channel", list(Channel))
@pytest.mark.parametrize("name", PASSING)
def test_an_unusual_program_can_pass(strongest: Executor, name: str, channel: Channel) -> None:
    task = replace(SQUARE, channel=channel, test="\n\n" + SQUARE.test)  # blank lines first, as in HumanEval
    verdict = judged(strongest, PASSING[name], task)
    assert verdict.passed, verdict
    assert verdict.channel is channel


def test_output_is_kept_capped_and_decoded_leniently(strongest: Executor) -> None:
    source = (
        "import sys, os\nprint('out')\nprint('err', file=sys.stderr, flush=True)\nos.write(1, b'\\xff')\n"
    )
    verdict = judged(strongest, source + "def f(x): return x * x")
    assert "out" in verdict.output
    assert "err" in verdict.output
    assert "\ufffd" in verdict.output
    limits = replace(QUICK, output_kept_bytes=100)
    loud = judged(strongest, "print('x' * 1000)\ndef f(x): return x * x", limits=limits)
    assert loud.passed
    assert loud.output == "x" * 100 + "\n[901 more bytes]"


def test_arguments_are_copies_unless_the_problem_says_otherwise(strongest: Executor) -> None:
    """A program that changes its argument is judged by what it returns, or by the change where asked."""
    source = "def f(x):\n    x.sort()\n    x[0].append(7) if isinstance(x[0], list) else None\n    return x"
    by_value = problem("l = [3, 1, 2]\nassert candidate(l) == [1, 2, 3]\nassert l == [3, 1, 2]")
    assert judged(strongest, source, by_value).passed
    test = "l = [[2], [1]]\nfirst = l[1]\ncandidate(l)\nassert l == [[1, 7], [2]]"
    assert judged(strongest, source, problem(test, mutates_arguments=True)).passed
    assert not judged(strongest, source, problem(test)).passed


@pytest.mark.parametrize("kind", ["x.clear()", "x.update({9: 9})", "x.pop(1)"])
def test_other_containers_are_written_back(strongest: Executor, kind: str) -> None:
    test = f"x = {{1: [1]}}\ny = {{1: [1]}}\ncandidate(x)\n{kind.replace('x', 'y', 1)}\nassert x == y"
    source = f"def f(x):\n    {kind}\n"
    assert judged(strongest, source, problem(test, mutates_arguments=True)).passed


def test_tests_that_expect_an_exception_see_it(strongest: Executor) -> None:
    test = (
        "try:\n    candidate(-1)\nexcept ValueError as e:\n    assert str(e) == 'negative'\nelse:\n    1 / 0"
    )
    right = "def f(x):\n    if x < 0: raise ValueError('negative')"
    assert judged(strongest, right, problem(test)).passed
    assert not judged(strongest, "def f(x): return None", problem(test)).passed


@pytest.mark.parametrize(
    "body", ["return lambda: 1", "import os; os._exit(0)", "import os; os.write(3, b'\\xff' * 9)"]
)
def test_tests_that_catch_everything_do_not_save_a_program(strongest: Executor, body: str) -> None:
    test = "try:\n    candidate(1)\nexcept BaseException:\n    pass"
    assert not judged(strongest, f"def f(x):\n    {body}", problem(test)).passed


def test_a_program_must_load_even_if_nothing_calls_it(strongest: Executor) -> None:
    assert judged(strongest, "def f(x): return 1", problem("pass")).passed
    assert judged(strongest, "1 / 0", problem("pass")).outcome == Outcome.EXCEPTION


def test_helpers_come_from_the_trusted_prompt(strongest: Executor) -> None:
    prompt = "def helper(x):\n    return x * 2\n\ndef f(x):\n    '''Twice.'''\n"
    task = problem("assert candidate(3) == helper(3)", prompt)
    assert judged(strongest, prompt + "    return helper(x)", task).passed
    overwritten = "def helper(x): return 0\ndef f(x): return 0"
    assert not judged(strongest, overwritten, task).passed


def test_tests_that_pass_functions_ask_for_the_inline_channel(strongest: Executor) -> None:
    """The problem is declared wrongly: a fault that says so, whatever the program is."""
    task = problem("assert candidate(lambda: 3) == 3")
    verdict = judged(strongest, "def f(x): return x()", task)
    assert verdict.outcome == Outcome.SANDBOX_ERROR
    assert "declare the problem inline" in verdict.detail
    assert judged(strongest, "def f(x): return x()", replace(task, channel=Channel.INLINE)).passed


def test_tests_that_do_not_compile_are_a_fault(strongest: Executor) -> None:
    broken = replace(SQUARE, test="def check(candidate:")
    assert judged(strongest, "def f(x): return x * x", broken).outcome == Outcome.SANDBOX_ERROR


def test_inline_verdicts_have_the_same_outcomes(strongest: Executor) -> None:
    inline = replace(SQUARE, channel=Channel.INLINE)
    cases = {
        "def f(x): return x": (Outcome.WRONG_ANSWER, "assert candidate(3) == 9"),
        "def f(x): raise ValueError('no')": (Outcome.EXCEPTION, "ValueError: no"),
        "def f(x: ": (Outcome.SYNTAX_ERROR, "SyntaxError: '(' was never closed (<program>, line 1)"),
        "def f(x): return bytearray(1 << 40)": (Outcome.MEMORY, "MemoryError"),
        "import os\nos._exit(0)": (Outcome.KILLED, "its process ended with exit code 0 before a verdict"),
        "import os\nos.write(3, b'passed')\nos._exit(0)": (
            Outcome.FORGED,
            "something else than the sandbox wrote the verdict",
        ),
    }
    for source, expected in cases.items():
        verdict = judged(strongest, source, inline)
        assert (verdict.outcome, verdict.detail) == expected


def test_one_sample_may_have_limits_of_its_own(strongest: Executor) -> None:
    source = "def f(x): return x * x * len(bytearray(64 << 20)) // (64 << 20)"
    assert judged(strongest, source).passed
    tight = replace(QUICK, memory_bytes=64 << 20)
    assert judged(strongest, source, limits=tight).outcome == Outcome.MEMORY


MATCH = "import re\ndef f(x):\n    return re.match('a', x)\n"


def test_an_answer_that_is_no_plain_data_is_opaque_where_the_problem_says_so(executor: Executor) -> None:
    task = problem("assert candidate('ab')\nassert candidate('ab') != 3\nassert not candidate('b')")
    assert judged(executor, MATCH, replace(task, opaque_answers=True)).passed
    refused = judged(executor, MATCH, task)
    assert refused.outcome == "wrong_answer"
    assert "not_plain_data" in refused.detail


def test_an_opaque_answer_is_equal_to_nothing_whatever_it_claims(executor: Executor) -> None:
    liar = "class Liar:\n    def __eq__(self, other): return True\ndef f(x):\n    return Liar()\n"
    verdict = judged(executor, liar, replace(SQUARE, opaque_answers=True))
    assert verdict.outcome == "wrong_answer"
    assert verdict.detail == "assert candidate(3) == 9: got <Liar>"


def test_an_opaque_answer_that_tests_pass_on_is_no_fault(executor: Executor) -> None:
    task = problem("assert candidate(candidate('ab'))", opaque_answers=True)
    verdict = judged(executor, MATCH, task)
    assert (verdict.outcome, verdict.detail) == (
        "wrong_answer",
        "not_plain_data: an answer that cannot cross is passed on",
    )


@pytest.mark.parametrize("ignored", ["", "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"])
def test_cpu_time_used_up_is_a_timeout(strongest: Executor, ignored: str) -> None:
    limits = replace(QUICK, wall_s=30.0, cpu_s=1)
    verdict = judged(strongest, ignored + "def f(x):\n    while True: pass\n", limits=limits)
    assert (verdict.outcome, verdict.detail) == ("timeout", "its CPU time was used up")


def test_one_call_has_its_own_limit_and_the_whole_sample_another(executor: Executor) -> None:
    calls = problem("for x in range(40):\n    assert candidate(x) == x", wall_s=30.0, call_s=0.6)
    slow = "import time\ndef f(x):\n    time.sleep(0.06)\n    return x\n"
    assert judged(executor, slow, calls).passed  # longer than QUICK.wall_s in sum
    hangs = "import time\ndef f(x):\n    time.sleep(99 * (x == 3))\n    return x\n"
    verdict = judged(executor, hangs, calls)
    assert (verdict.outcome, verdict.detail) == ("timeout", "no answer to one call within 0.6 s")
    assert verdict.wall_s is not None
    assert verdict.wall_s < 20
