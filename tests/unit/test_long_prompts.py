"""Problems buried in code: the same everywhere, valid Python, about as long as they say, and found again."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from pytest_llmeval.metrics.lengths import by_length
from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.prompting.padding import CHARACTERS_PER_TOKEN, filler
from pytest_llmeval.prompting.styles import build_prompt
from pytest_llmeval.schema import (
    Completion,
    Cut,
    ModelSpec,
    Outcome,
    PromptStyle,
    Record,
    Sample,
    Strategy,
    Verdict,
)

LONG = load_problem_set("long_prompts").problems
PLAIN = {problem.task_id: problem for problem in load_problem_set("humaneval").problems}
CHAT = ModelSpec("m", "weights")
BASE = replace(CHAT, prompt_style=PromptStyle.COMPLETION)


def test_every_length_is_asked_at_every_position():
    asked = {(problem.padding.tokens, problem.padding.position) for problem in LONG}
    assert len(asked) == 18
    assert {tokens for tokens, _ in asked} == {1000, 4000, 16_000, 32_000, 64_000, 100_000}
    assert len({problem.task_id for problem in LONG}) == len(LONG) == 72


@pytest.mark.parametrize("problem", LONG[::5], ids=lambda problem: problem.task_id)
@pytest.mark.parametrize("spec", [CHAT, BASE], ids=["chat", "completion"])
def test_prompts_are_as_long_as_they_say_and_hold_the_problem_where_they_say(problem, spec):
    text = build_prompt(problem, spec).text
    wanted = problem.padding.tokens * CHARACTERS_PER_TOKEN
    assert wanted - 2500 < len(text) < wanted + 1000
    place = text.index(PLAIN[problem.task_id.partition("-")[0]].prompt.strip()) / len(text)
    low, high = {"head": (0, 0.3), "middle": (0.2, 0.7), "tail": (0.4, 1)}[problem.padding.position]
    assert low <= place <= high


@pytest.mark.parametrize("problem", LONG[:12], ids=lambda problem: problem.task_id)
def test_a_base_model_goes_on_with_the_function_and_what_it_makes_is_valid(problem):
    prompt = build_prompt(problem, BASE)
    ast.parse(prompt.text + problem.canonical_solution)
    kept = [prompt.text[start:end] for start, end in prompt.protected]
    assert sum(f"def {problem.entry_point}(" in part for part in kept) >= 1
    assert prompt.protected[-1][1] == len(prompt.text)


def test_the_code_around_is_the_same_everywhere_valid_and_long():
    assert filler(20_000, "1") == filler(20_000, "1") != filler(20_000, "2")
    ast.parse(filler(50_000, "1"))
    assert 345_000 < len(filler(350_000, "1")) <= 350_000
    names = [node.name for node in ast.parse(filler(50_000, "1")).body]
    assert len(set(names)) == len(names)


def record(problem, passed, cut=None):
    completion = Completion("", prompt_tokens=50, cut=cut)
    verdict = Verdict(Outcome.PASSED if passed else Outcome.WRONG_ANSWER)
    prompt = build_prompt(PLAIN["HumanEval/2"], CHAT)
    sample = Sample(0, completion, None, verdict)
    return Record("m", "long_prompts", problem.task_id, prompt, (sample,), problem.padding)


def test_accuracy_is_told_by_length_and_position():
    cut = Cut(Strategy.HEAD_TAIL, 900, 100, ((0, 10),))
    rows = by_length([record(LONG[0], True), record(LONG[1], False), record(LONG[4], False, cut)])
    assert [(row.tokens, row.position, row.judged, row.passed, row.cut, row.text_tokens) for row in rows] == [
        (1000, "head", 2, 1, 0, 50),
        (1000, "middle", 1, 0, 1, 900),
    ]
