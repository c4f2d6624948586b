"""A Prompt and a model's tokenizer → token ids with exactly one BOS; runs in the engine host."""

from __future__ import annotations

from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.schema import Prompt, PromptStyle


def render(prompt: Prompt, tokenizer: Any, budget: int) -> tuple[list[int], int]:
    """Token ids of at most `budget`, and how many tokens of the user's text were cut to get there.

    Raises:
        ConfigurationError: the budget holds no prompt at all.
    """
    ids = _ids(prompt, tokenizer)
    if len(ids) > budget:
        raise ConfigurationError(
            f"the prompt has {len(ids)} tokens, and max_model_len less max_tokens leaves {budget}: raise "
            f"engine.max_model_len or lower sampling.max_tokens"
        )
    return ids, 0


def _ids(prompt: Prompt, tokenizer: Any) -> list[int]:
    if prompt.token_ids is not None:
        return list(prompt.token_ids)
    ids = _chat_ids(prompt, tokenizer) if prompt.style is PromptStyle.CHAT else tokenizer.encode(prompt.text)
    return without_doubled_bos(list(ids), getattr(tokenizer, "bos_token_id", None))


def _chat_ids(prompt: Prompt, tokenizer: Any) -> list[int]:
    messages = [{"role": "user", "content": prompt.text}]
    if prompt.system is not None:
        messages.insert(0, {"role": "system", "content": prompt.system})
    ids: list[int] = tokenizer.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, return_dict=False, **prompt.chat_template_kwargs
    )
    return ids


def without_doubled_bos(ids: list[int], bos: int | None) -> list[int]:
    """Some templates write the BOS that the tokenizer adds as well; a doubled one costs accuracy."""
    while bos is not None and ids[:2] == [bos, bos]:
        ids = ids[1:]
    return ids
