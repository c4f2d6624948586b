"""The words around a problem: as it is for base models, with an instruction for chat models.

What is said by default lies in `families/*.toml`, a file for each kind of problem set; an entry of models.toml
may say something else, for all sets or for one.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from pytest_llmeval.prompting.fitting import MARKERS
from pytest_llmeval.prompting.instructions import around
from pytest_llmeval.prompting.padding import padded
from pytest_llmeval.prompting.signatures import last_line, signatures
from pytest_llmeval.schema import ModelSpec, Problem, Prompt, PromptStyle, Sampling, Span

FAMILIES = Path(__file__).parent / "families"
HUMANEVAL = "humaneval"
# Sets whose problems are not the beginning of a function; all others are asked as HumanEval is.
FAMILY_OF = {"mbpp": "mbpp", "mbppplus": "mbpp", "long_prompts": "long_prompts"}


@dataclass(frozen=True, slots=True)
class Family:
    """What a kind of problem set says where an entry says nothing.

    `instruction` is for chat models, `stop` for base models, which would run on.
    """

    instruction: str
    stop: tuple[str, ...]


def build_prompt(problem: Problem, spec: ModelSpec) -> Prompt:
    """The Prompt of one problem for one model, before the model's own template is applied."""
    asked = for_set(spec, problem.problem_set)
    if asked.prompt_style is PromptStyle.COMPLETION:
        text = _text(problem, goes_on=True)
        protected = (*signatures(text, problem.entry_point), *last_line(text))
        return Prompt(PromptStyle.COMPLETION, text, protected=protected)
    before, after = around(_instruction(asked, problem.problem_set), problem.entry_point)
    text = _text(problem, goes_on=False).rstrip("\n")
    return Prompt(
        style=PromptStyle.CHAT,
        text=before + text + after,
        system=asked.system_prompt,
        chat_template_kwargs=asked.chat_template_kwargs,
        assistant_prefill=asked.assistant_prefill,
        protected=_protected(before, text, after, problem.entry_point),
    )


def _text(problem: Problem, *, goes_on: bool) -> str:
    """What the model sees of the problem: its prompt, and the code in which it is buried."""
    if problem.padding is None:
        return problem.prompt
    return padded(problem.prompt, problem.entry_point, problem.padding, goes_on=goes_on)


def _protected(before: str, text: str, after: str, entry_point: str) -> tuple[Span, ...]:
    """The instruction on both sides of the problem, and the function's signature in it."""
    start, end = len(before), len(before) + len(text)
    named = [(start + first, start + last) for first, last in signatures(text, entry_point)]
    return (0, start), *named, (end, end + len(after))


def settled(sampling: Sampling, spec: ModelSpec, problem_set: str) -> Sampling:
    """The sampling of a Request: stop strings that nobody chose are those of the style and the set."""
    if sampling.stop is not None:
        return sampling
    return replace(sampling, stop=stop_strings(spec, problem_set))


def stop_strings(spec: ModelSpec, problem_set: str) -> tuple[str, ...]:
    """Where a model's answers to a set end, if the sampling of a task does not say."""
    asked = for_set(spec, problem_set)
    if asked.sampling.stop is not None:
        return asked.sampling.stop
    return family(problem_set).stop if asked.prompt_style is PromptStyle.COMPLETION else ()


def for_set(spec: ModelSpec, problem_set: str) -> ModelSpec:
    """The entry as it asks one problem set: its overrides laid over it."""
    overrides = spec.problem_sets.get(problem_set)
    if overrides is None:
        return spec
    given = {f.name: value for f in fields(overrides) if (value := getattr(overrides, f.name)) is not None}
    stop = given.pop("stop", spec.sampling.stop)
    return replace(spec, **given, sampling=replace(spec.sampling, stop=stop))


def prompting_settings(spec: ModelSpec) -> dict[str, Any]:
    """What decides the tokens a model sees and is not in a Prompt: part of every sample's generation key."""
    return {
        "style": str(spec.prompt_style),
        "chat_template": spec.chat_template and _hash(spec.chat_template),
        "truncation": asdict(spec.truncation),
        "markers": [MARKERS[style] for style in PromptStyle],
    }


def template_hash(spec: ModelSpec, problem_set: str) -> str:
    """SHA-256 of everything that stands around the problems of a set, but for the tokenizer's own template.

    That is: the style, the instruction, the system prompt, the prefill, the template's arguments, a chat
    template that takes the place of the tokenizer's, and the policy of truncation. Equal on every machine;
    needs no engine.
    """
    asked = for_set(spec, problem_set)
    chat = asked.prompt_style is PromptStyle.CHAT
    words = {
        "instruction": _instruction(asked, problem_set),
        "system": asked.system_prompt,
        "prefill": asked.assistant_prefill,
        "arguments": dict(asked.chat_template_kwargs),
    }
    return _hash({**prompting_settings(asked), **(words if chat else {"chat_template": None})})


def _hash(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _instruction(asked: ModelSpec, problem_set: str) -> str:
    return family(problem_set).instruction if asked.instruction is None else asked.instruction


def family(problem_set: str) -> Family:
    """What is said by default around the problems of a set."""
    return _read_family(FAMILY_OF.get(problem_set, HUMANEVAL))


@cache
def _read_family(name: str) -> Family:
    document = tomllib.loads((FAMILIES / f"{name}.toml").read_text(encoding="utf-8"))
    return Family(document["instruction"], tuple(document["stop"]))
