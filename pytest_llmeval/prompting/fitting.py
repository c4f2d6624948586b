"""Fits a Prompt into a model's window: the user's text gives way, and what is around it stays whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_llmeval.prompting.rulers import Tokenizer
from pytest_llmeval.prompting.truncation import MARKER, Truncation, truncate, windows
from pytest_llmeval.schema import Cut, Prompt, PromptStyle, Strategy, TruncationPolicy

MARKERS = {
    PromptStyle.CHAT: MARKER,
    PromptStyle.COMPLETION: "\n# [... text cut to fit the context ...]\n",  # what goes on here is Python
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that fits, and what was cut to get there (None: nothing)."""

    text: str
    cut: Cut | None = None


def fit(
    prompt: Prompt,
    policy: TruncationPolicy,
    tokenizer: Tokenizer,
    budget_tokens: int,
    measure: Callable[[str], int],
) -> list[Piece]:
    """The prompt's text as it can be sent; several Pieces where the strategy sends it in windows.

    `measure` counts the whole rendered prompt with a text in its place: only that count decides. Tokens merge
    across the edges of the text, so what its own count promises may be a few tokens off; what is too much is
    taken off the room for the text, until everything fits.

    Raises:
        PromptTooLongError: what must be kept of the text does not fit, or the strategy is `error`.
    """
    whole = measure(prompt.text)
    if whole <= budget_tokens:
        return [Piece(prompt.text)]
    room = budget_tokens - (whole - tokenizer.count(prompt.text))
    while True:
        truncations = _cut(prompt, policy, tokenizer, room)
        excess = max(measure(truncation.text) for truncation in truncations) - budget_tokens
        if excess <= 0:
            return _pieces(truncations)
        room -= excess


def _cut(prompt: Prompt, policy: TruncationPolicy, tokenizer: Tokenizer, room: int) -> list[Truncation]:
    marker = MARKERS[prompt.style]
    if policy.strategy is Strategy.SLIDING_WINDOW:
        share = policy.overlap_share
        return list(
            windows(
                prompt.text, tokenizer, room, protected=prompt.protected, overlap_share=share, marker=marker
            )
        )
    return [
        truncate(
            prompt.text,
            tokenizer,
            room,
            strategy=policy.strategy,
            protected=prompt.protected,
            head_share=policy.head_share,
            marker=marker,
        )
    ]


def _pieces(truncations: list[Truncation]) -> list[Piece]:
    count = len(truncations)
    return [
        Piece(
            one.text,
            Cut(one.strategy, one.tokens_before, one.tokens_after, one.kept, window=index, windows=count),
        )
        for index, one in enumerate(truncations)
    ]
