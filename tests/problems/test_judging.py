"""Whole problems in the sandbox: what is measured, what passes, what does not."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import published
import pytest
from published import written

from pytest_llmeval.problems import evalplus, humaneval, mbpp
from pytest_llmeval.problems.expected import CALL_S, FACTOR, SAMPLE_S, Kept, Measured, completed
from pytest_llmeval.problems.generated import Cases, checking_source
from pytest_llmeval.sandbox import Executor
from pytest_llmeval.schema import Outcome, Problem, Program, Verdict
from pytest_llmeval.scoring.judge import Judge

WAIT_S = 300


def verdict(judge: Judge, problem: Problem, source: str) -> Verdict:
    return judge.submit(Program(source, "test"), problem).result(WAIT_S)


def canonical(problem: Problem) -> str:
    return problem.prompt + problem.canonical_solution


@pytest.fixture(scope="module")
def plus(tmp_path_factory) -> dict[str, Problem]:
    """A problem of each kind, by entry point."""
    folder = tmp_path_factory.mktemp("sets")
    sets = [
        evalplus.load_humanevalplus(written(folder / "h.jsonl", published.DOUBLE, published.ROOT)),
        evalplus.load_mbppplus(
            written(folder / "m.jsonl", published.SIMILAR, published.MATCHES, published.SUMS)
        ),
        mbpp.load(written(folder / "s.jsonl", published.SANITIZED, published.SIZES)),
    ]
    return {problem.entry_point: problem for one in sets for problem in one.problems}


def test_canonical_solutions_pass(judge, plus):
    found = {name: verdict(judge, problem, canonical(problem)) for name, problem in plus.items()}
    assert {name: said.detail for name, said in found.items() if not said.passed} == {}
    assert len(found) == 7


WRONG = {
    "double": ["def double(x):\n    return 2 * x if x < 10**100 else 0\n", "double = None\n"],
    "find_zero": [
        "def find_zero(xs):\n    xs.clear()\n    return 0\n",
        "def find_zero(xs):\n    return None\n",
    ],
    "similar_elements": ["def similar_elements(a, b):\n    return a\n"],
    "text_match_three": [
        "import re\ndef text_match_three(text):\n    return re.search('ab', text)\n",
        "def text_match_three(text):\n    return 'abbb' not in text\n",
    ],
    "sum": ["def sum(a, b):\n    return 6\n"],
    "check": ["def check(n):\n    return False\n"],
    "tuple_size": ["def tuple_size(values):\n    return 40\n"],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solutions_fail(judge, plus, name):
    for source in WRONG[name]:
        assert verdict(judge, plus[name], source).outcome in (Outcome.WRONG_ANSWER, Outcome.EXCEPTION)


OTHERS = {
    "similar_elements": "def similar_elements(a, b):\n    return [x for x in b if x in a]\n",
    "text_match_three": "def text_match_three(text):\n    return 'abbb' in text\n",
    "find_zero": "def find_zero(xs):\n    return -xs[0] / xs[1] if len(xs) == 2 else 3.0\n",
}


@pytest.mark.parametrize("name", OTHERS)
def test_answers_that_are_right_by_the_rule_alone_pass(judge, plus, name):
    assert verdict(judge, plus[name], OTHERS[name]).passed


def test_a_wrong_answer_is_explained_with_input_and_expectation(judge, plus):
    said = verdict(judge, plus["double"], "def double(x):\n    return 2 * x if x != 7 else 15\n")
    assert said.detail == "assert answer == expected: got 15 from candidate(7), expected 14"


def test_a_program_that_hangs_ends_after_one_calls_time(executor, plus):
    problem = completed(plus["double"], Measured((0.0,) * 40, None))
    assert (problem.call_s, problem.wall_s) == (CALL_S, SAMPLE_S)
    hangs = "def double(x):\n    while x == 5: pass\n    return 2 * x\n"
    said = executor.submit(Program(hangs, "test"), replace(problem, call_s=1.0)).result(WAIT_S)
    assert (said.outcome, said.detail) == (Outcome.TIMEOUT, "no answer to one call within 1 s")


def test_a_slow_canonical_solution_widens_the_limits(plus):
    problem = completed(plus["double"], Measured((0.1, 20.0), None))
    assert problem.call_s == FACTOR * 20.0
    assert problem.wall_s == FACTOR * 20.1


# ------------------------------------------------------------------- a plus set made of HumanEval itself


def changed(value: object, chance: random.Random) -> object:
    """Something like `value`: what EvalPlus's type-aware mutation does, in small."""
    match value:
        case bool():
            return chance.random() < 0.5
        case int():
            return chance.choice([value, value + 1, chance.randrange(0, 50), abs(value) // 2])
        case float():
            return chance.choice([value, value * 2, round(chance.uniform(0.5, 40), 2)])
        case str():
            return "".join(chance.sample(value, len(value)))[: chance.randrange(1, 40)] or value
        case list():
            return [changed(item, chance) for item in value]
    return value


def asked_of(problem: Problem) -> list[list[object]]:
    """The arguments that HumanEval's own test uses, where its canonical solution answers them."""
    seen: list[list[object]] = []
    namespace: dict = {}
    exec(canonical(problem), namespace)
    solution = namespace[problem.entry_point]

    def noted(*arguments: object) -> object:
        seen.append(list(arguments))
        return solution(*arguments)

    exec(problem.test, namespace)
    namespace["check"](noted)
    return seen


def many(problem: Problem, count: int) -> Problem:
    """A problem with thousands of inputs and no answers, as EvalPlus publishes them."""
    from pytest_llmeval.problems import plain

    chance = random.Random(problem.task_id)
    base = asked_of(problem)
    arguments = base + [[changed(a, chance) for a in chance.choice(base)] for _ in range(count)]
    cases = Cases(plain.dumps(arguments), base_cases=len(base))
    test = checking_source(cases, problem.entry_point, canonical(problem))
    return replace(problem, problem_set="synthetic", test=test, measures="answers")


# Total functions of plain arguments: their canonical solutions answer whatever `changed` makes.
TOTAL = (
    0,
    3,
    4,
    9,
    12,
    14,
    18,
    23,
    26,
    27,
    28,
    30,
    34,
    42,
    48,
    51,
    52,
    57,
    58,
    66,
    85,
    110,
    121,
    122,
    133,
    152,
)
FLAWS = (("<", "<="), ("+", "-"), ("== ", "!= "), ("return ", "return not "), ("0", "1"), ("1", "2"))


@pytest.fixture(scope="module")
def synthetic() -> list[Problem]:
    problems = humaneval.load().problems
    return [many(problems[number], 2000) for number in TOTAL]


def test_with_thousands_of_inputs_canonical_solutions_pass_and_mutants_do_not(judge, synthetic):
    right = [judge.submit(Program(canonical(p), "canonical"), p) for p in synthetic]
    mutants = [
        judge.submit(Program(p.prompt + p.canonical_solution.replace(old, new, 1), "mutant"), p)
        for p in synthetic
        for old, new in FLAWS
        if old in p.canonical_solution
    ]
    assert [future.result(WAIT_S).outcome for future in right] == [Outcome.PASSED] * len(TOTAL)
    outcomes = Counter(future.result(WAIT_S).passed for future in mutants)
    assert len(mutants) >= 50
    assert outcomes[True] <= 0.1 * len(mutants)  # a few are equivalent


# --------------------------------------------------------------------------------------- measured once


def test_what_was_measured_is_kept_for_the_next_run(executor, plus, tmp_path):
    kept = Kept(tmp_path, executor.environment)
    assert kept.load(plus["double"]) is None
    assert verdict(Judge(executor, kept), plus["double"], canonical(plus["double"])).passed
    measured = kept.load(plus["double"])
    assert measured is not None
    assert len(measured.seconds) == 40
    lying = replace(measured, expected=measured.expected.replace("14", "15", 1))
    kept.save(plus["double"], lying)
    assert not verdict(Judge(executor, kept), plus["double"], canonical(plus["double"])).passed
    assert Kept(tmp_path, "another interpreter").load(plus["double"]) is None


def test_a_file_that_was_cut_short_and_a_folder_that_cannot_be_written_are_done_without(
    executor, plus, tmp_path
):
    kept = Kept(tmp_path / "kept", executor.environment)
    kept.save(plus["double"], Measured((0.1,), "[1]"))
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert kept.load(plus["double"]) is None
    (tmp_path / "file").touch()
    Kept(tmp_path / "file", "").save(plus["double"], Measured((), "[]"))


def test_answers_too_large_to_cross_are_left_out_and_many_are_computed_beside_the_tests(judge, plus):
    grows = replace(
        plus["double"],
        task_id="HumanEval/1",
        prompt="",
        canonical_solution="def double(x):\n    return 'ab' * x\n",
        test=checking_source(
            Cases("[[3],[9000000],[5000000],[5000001],[4]]", base_cases=2),
            "double",
            "def double(x):\n    return 'ab' * x\n",
        ),
    )
    whole = judge.complete(grows).result(WAIT_S)
    assert whole.test.endswith(
        "EXPECTED = None\nLEFT_OUT = (1,)\n" + whole.test.rpartition("LEFT_OUT = (1,)\n")[2]
    )
    assert verdict(judge, grows, canonical(grows)).passed
    wrong = "def double(x):\n    return 'ab' * x if x != 5000001 else 'ab' * x + 'c'\n"
    assert verdict(judge, grows, wrong).outcome == Outcome.WRONG_ANSWER
    assert verdict(judge, grows, "def double(x):\n    return 'ab' * x if x < 9000000 else ''\n").passed


def test_a_canonical_solution_that_fails_is_a_fault_and_no_models_doing(judge, plus):
    broken = replace(
        plus["double"],
        test=checking_source(Cases("[[1],[null]]"), "double", "def double(x):\n    return 2 * x + 0\n"),
    )
    said = verdict(judge, broken, canonical(broken))
    assert said.outcome == Outcome.SANDBOX_ERROR
    assert "humanevalplus, HumanEval/0: the canonical solution has no answers: " in said.detail


def test_a_wall_limit_of_the_users_holds_for_every_set(executor: Executor, plus, tmp_path):
    judge = Judge(executor, Kept(tmp_path, "fixed"), fixed_wall=True)
    assert judge.complete(plus["double"]).result(WAIT_S).wall_s is None
