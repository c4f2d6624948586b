"""A model as models.toml describes it: where it is, how it is asked, what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_llmeval.schema.words import PromptStyle, Strategy


@dataclass(frozen=True, slots=True)
class TruncationPolicy:
    """How a text that is too long is cut.

    `head_share` is the head's part of the budget (`head_tail`), `overlap_share` the part of a window that
    repeats the end of the one before it (`sliding_window`).
    """

    strategy: Strategy = Strategy.HEAD_TAIL
    head_share: float = 0.8
    overlap_share: float = 0.125


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `temperature == 0` is greedy; `top_k == 0` considers every token.

    `stop is None` leaves the stop strings to the prompt style and the problem set; a Request knows its own.
    `ignore_eos` lets an answer run on to `max_tokens`; before `min_tokens` none may end.
    """

    n: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int = 1024
    stop: tuple[str, ...] | None = None
    seed: int = 0
    min_tokens: int = 0
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What a machine must offer before a model is worth loading."""

    device: Literal["gpu", "any"] = "gpu"
    device_memory_gib: float = 0.0
    hub: bool = True
    gated: bool = False


@dataclass(frozen=True)
class SetOverrides:
    """How one problem set is asked, where it differs from the model's entry; None: as the entry says."""

    prompt_style: PromptStyle | None = None
    instruction: str | None = None
    system_prompt: str | None = None
    assistant_prefill: str | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    stop: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ModelSpec:
    """One entry of models.toml, resolved: where the weights are and how they are asked.

    `engine` holds the engine's own arguments verbatim, `kind` names the engine in the registry of engines.
    `instruction` holds the words around a problem with their `{prompt}`, None for the problem set's own;
    `chat_template` is a template's source that takes the place of the tokenizer's.
    """

    name: str
    model: str
    kind: str = "vllm"
    revision: str | None = None
    categories: tuple[str, ...] = ()
    prompt_style: PromptStyle = PromptStyle.CHAT
    instruction: str | None = None
    system_prompt: str | None = None
    assistant_prefill: str = ""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat_template: str | None = None
    problem_sets: Mapping[str, SetOverrides] = field(default_factory=dict)
    truncation: TruncationPolicy = TruncationPolicy()
    sampling: Sampling = Sampling()
    engine: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Needs = Needs()
    token_env: str = "HF_TOKEN"
    description: str = ""
