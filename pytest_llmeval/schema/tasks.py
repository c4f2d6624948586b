"""What is asked: problems, prompts and the requests made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pytest_llmeval.schema.models import Sampling
from pytest_llmeval.schema.words import Channel, PromptStyle

Span: TypeAlias = tuple[int, int]
"""Characters of a text, from the first to the one after the last."""
Position: TypeAlias = Literal["head", "middle", "tail"]


@dataclass(frozen=True, slots=True)
class Padding:
    """Made-up code around a problem: about `tokens` tokens in all, the problem at `position` in it."""

    tokens: int
    position: Position
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One task of a problem set.

    `test` is source that defines `check(candidate)`; `prompt` is trusted source that ends inside the
    function `entry_point`. What follows them is fixed by the problem set beforehand: no answer can change how
    it is judged. `opaque_answers`: an answer that is no plain data reaches the tests as a value that is true or
    false and equal to nothing, instead of ending the sample. `call_s` bounds one call; `wall_s` raises the
    sandbox's limit of the whole sample. `measures`: what the canonical solution shows in the sandbox before the
    first sample is judged: how long its calls take, for the limits, and its answers too, for the tests.
    `padding` is what the model sees around the problem; it is no part of what is judged.
    """

    problem_set: str
    task_id: str
    prompt: str
    entry_point: str
    test: str
    canonical_solution: str
    channel: Channel = Channel.SPLIT
    mutates_arguments: bool = False
    opaque_answers: bool = False
    call_s: float | None = None
    wall_s: float | None = None
    measures: Literal["nothing", "times", "answers"] = "nothing"
    padding: Padding | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What a model is asked in a run: a Problem and how (and how often) its answer is sampled."""

    problem: Problem
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked for a Problem: the user's text and, for chat models, the words around it.

    `protected` are the spans of the text that survive truncation; `assistant_prefill` is how the answer
    begins: the model goes on from there. With `token_ids` exactly these tokens are sent, and everything else
    here is words about them.
    """

    style: PromptStyle
    text: str
    system: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    assistant_prefill: str = ""
    protected: tuple[Span, ...] = ()
    token_ids: tuple[int, ...] | None = None

    @property
    def is_chat(self) -> bool:
        """True where a chat template puts it into tokens."""
        return self.style is PromptStyle.CHAT and self.token_ids is None


@dataclass(frozen=True, slots=True)
class Request:
    """One Prompt with its sampling and the index of the sample it asks for; n samples are n Requests.

    `token_times` asks for `Timing.token_s`, which costs the engine a message per token.
    """

    request_id: str
    task_id: str
    prompt: Prompt
    sampling: Sampling
    sample_index: int = 0
    token_times: bool = False


def natural_order(name: Iterable[str]) -> list[tuple[int, str]]:
    """Sorts names, as (problem set, task id), by the numbers in them: HumanEval/9 before HumanEval/10."""
    parts = re.split(r"(\d+)", "/".join(name))
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
