"""What is said around a problem, what of it truncation keeps, and where a base model stops."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.prompting.instructions import around, check_instruction
from pytest_llmeval.prompting.signatures import signatures
from pytest_llmeval.prompting.styles import (
    build_prompt,
    family,
    settled,
    stop_strings,
    template_hash,
)
from pytest_llmeval.schema import ModelSpec, PromptStyle, Sampling, SetOverrides, TruncationPolicy

HUMANEVAL = load_problem_set("humaneval").problems
CHAT = ModelSpec("m", "weights")
BASE = replace(CHAT, prompt_style=PromptStyle.COMPLETION)
ASSERTS = replace(
    HUMANEVAL[0],
    problem_set="mbpp",
    entry_point="add",
    prompt='"""\nWrite a function to add two numbers.\nassert add(1, 2) == 3\n"""\n',
)


def protected(prompt):
    return [prompt.text[start:end] for start, end in prompt.protected]


@pytest.mark.parametrize("problem", HUMANEVAL, ids=lambda problem: problem.task_id)
def test_instruction_and_signature_are_protected(problem):
    prompt = build_prompt(problem, CHAT)
    before, *signature, after = protected(prompt)
    assert before.startswith("Complete the following Python function.")
    assert after == "\n```\n"
    assert all(s.lstrip().startswith(f"def {problem.entry_point}(") and s.endswith(":") for s in signature)
    assert len(signature) == 1
    assert before + problem.prompt.rstrip("\n") + after == prompt.text


def test_a_base_model_gets_the_prompt_as_it_is_and_keeps_the_line_to_go_on_from():
    prompt = build_prompt(HUMANEVAL[0], BASE)
    assert prompt.text == HUMANEVAL[0].prompt
    assert protected(prompt) == [
        "def has_close_elements(numbers: List[float], threshold: float) -> bool:",
        '    """\n',
    ]


def test_problems_in_words_are_asked_in_other_words_and_their_assertions_are_kept():
    prompt = build_prompt(ASSERTS, CHAT)
    assert prompt.text.startswith("Write a Python function that")
    assert "assert add(1, 2) == 3" in protected(prompt)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def f(a, b):\n    pass", ["def f(a, b):"]),
        ("async def f(a: dict[str, int] = {1: 2}, *, b='x') -> list[int]:  # f(:", None),
        ("def f(\n    a: int,\n) -> int:\n    pass\n", ["def f(\n    a: int,\n) -> int:"]),
        ("class C:\n    def f(self): pass", ["    def f(self):"]),
        ("def ff(a): pass\ndef f(b): pass", ["def f(b):"]),
        ("def f(", ["def f("]),
        ("nothing here", []),
    ],
)
def test_signatures_are_found_whole(text, found):
    expected = [text[: text.index("  #")]] if found is None else found
    assert [text[start:end] for start, end in signatures(text, "f")] == expected


def test_an_instruction_of_the_users_is_used_as_it_is():
    spec = replace(CHAT, instruction="{{0}} Write {entry_point}:\n{prompt}\nThe end of {entry_point}.")
    prompt = build_prompt(HUMANEVAL[0], spec)
    assert prompt.text.startswith("{0} Write has_close_elements:\nfrom typing import List")
    assert prompt.text.endswith('"""\nThe end of has_close_elements.')


@pytest.mark.parametrize(
    ("instruction", "mistake"),
    [
        ("no field", "needs {prompt} once"),
        ("{prompt} and {prompt}", "needs {prompt} once"),
        ("{promt}", "not {promt}"),
        ("{prompt!r}", "not {prompt}"),
        ("{prompt} {}", "not {}"),
        ("{prompt} { x", "write {{ and }}"),
    ],
)
def test_mistakes_in_an_instruction_are_explained(instruction, mistake):
    with pytest.raises(ConfigurationError) as error:
        check_instruction(instruction)
    assert mistake in str(error.value)


@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_our_own_instructions_hold_to_the_rules(name):
    assert check_instruction(family(name).instruction)
    assert around(family(name).instruction, "f")[1] == "\n```\n"


def test_base_models_stop_where_a_function_ends_and_chat_models_do_not():
    assert "\ndef " in stop_strings(BASE, "humaneval")
    assert "\ndef " not in stop_strings(BASE, "mbpp")
    assert stop_strings(CHAT, "humaneval") == ()


def test_stop_strings_of_the_users_come_first_even_none():
    assert settled(Sampling(), BASE, "humaneval").stop == family("humaneval").stop
    assert settled(Sampling(stop=()), BASE, "humaneval").stop == ()
    assert stop_strings(replace(BASE, sampling=Sampling(stop=("END",))), "humaneval") == ("END",)


def test_a_set_may_be_asked_otherwise_than_the_entry_says():
    spec = replace(
        CHAT,
        system_prompt="be brief",
        problem_sets={
            "mbpp": SetOverrides(
                instruction="Do: {prompt}", assistant_prefill="```python\n", system_prompt=""
            )
        },
    )
    assert build_prompt(HUMANEVAL[0], spec).system == "be brief"
    prompt = build_prompt(ASSERTS, spec)
    assert prompt.text.startswith('Do: """\nWrite')
    assert (prompt.assistant_prefill, prompt.system) == ("```python\n", "")
    completion = replace(spec, problem_sets={"mbpp": SetOverrides(PromptStyle.COMPLETION, stop=("!",))})
    assert build_prompt(ASSERTS, completion).text == ASSERTS.prompt
    assert stop_strings(completion, "mbpp") == ("!",)


def test_the_hash_changes_with_every_word_around_a_problem_and_with_nothing_else():
    same = [CHAT, replace(CHAT, name="n", sampling=Sampling(temperature=1.0), description="x")]
    other = [
        BASE,
        replace(CHAT, instruction="{prompt}"),
        replace(CHAT, system_prompt=""),
        replace(CHAT, assistant_prefill="```"),
        replace(CHAT, chat_template_kwargs={"enable_thinking": False}),
        replace(CHAT, chat_template="{{ messages }}"),
        replace(CHAT, truncation=TruncationPolicy(head_share=0.5)),
        replace(CHAT, problem_sets={"humaneval": SetOverrides(instruction="x {prompt}")}),
    ]
    assert len({template_hash(spec, "humaneval") for spec in same}) == 1
    assert len({template_hash(spec, "humaneval") for spec in (CHAT, *other)}) == len(other) + 1
    assert template_hash(CHAT, "humaneval") != template_hash(CHAT, "mbpp")
