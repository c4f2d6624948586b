"""Synthetic requests: prompts of exact length in tokens, answers that run to their limit, the same for a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_llmeval.schema import Prompt, PromptStyle, Request, Sampling

# Special tokens lie at either end of most vocabularies: none is drawn from there.
LOWEST_SHARE, HIGHEST_SHARE = 0.05, 0.90
VOCABULARY_UNKNOWN = 8000  # no published code model has fewer


@dataclass
class RequestMaker:
    """Draws prompts uniformly over the middle of the vocabulary. No two are alike, so no prefix is cached."""

    vocabulary: int | None
    seed: int
    _made: int = field(default=0)

    def make(self, prompt_tokens: int, output_tokens: int) -> Request:
        """A greedy request of exactly so many tokens, in and out."""
        self._made += 1
        drawn = random.Random(f"{self.seed}/{self._made}/{prompt_tokens}")
        size = self.vocabulary or VOCABULARY_UNKNOWN
        low, high = int(LOWEST_SHARE * size), int(HIGHEST_SHARE * size)
        ids = tuple(drawn.randrange(low, high) for _ in range(prompt_tokens))
        prompt = Prompt(PromptStyle.COMPLETION, f"{prompt_tokens} synthetic tokens", token_ids=ids)
        sampling = Sampling(max_tokens=output_tokens, ignore_eos=True)
        return Request(f"serving:{self._made}", "serving", prompt, sampling, token_times=True)


def vocabulary_of(config: Mapping[str, Any] | None) -> int | None:
    """`vocab_size` of a checkpoint's config.json."""
    size = (config or {}).get("vocab_size")
    return int(size) if size else None
