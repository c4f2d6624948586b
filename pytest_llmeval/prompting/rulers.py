"""Measures text in tokens: where do so many tokens from here end? By token offsets, else by counting."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

_COUNTINGS = 48
_TOLERANCE = 128


class Tokenizer(Protocol):
    """What truncation asks of a tokenizer. Neither method adds special tokens."""

    def count(self, text: str) -> int:
        """How many tokens the text is."""
        ...

    def offsets(self, text: str) -> Sequence[tuple[int, int]] | None:
        """Each token's first character and the one after its last, or None where that is not known."""
        ...


class Ruler(Protocol):
    """Finds places in one text by the number of tokens between them."""

    def forward(self, start: int, tokens: int) -> int:
        """The place up to which the text from `start` is at most about `tokens` tokens."""
        ...

    def backward(self, end: int, tokens: int) -> int:
        """The place from which the text up to `end` is at most about `tokens` tokens."""
        ...


def ruler_for(text: str, tokenizer: Tokenizer) -> Ruler:
    """The best ruler that the tokenizer allows."""
    offsets = tokenizer.offsets(text)
    return CountRuler(text, tokenizer.count) if offsets is None else OffsetRuler(len(text), offsets)


class OffsetRuler:
    """Knows where every token begins: each question is a binary search in that list."""

    def __init__(self, length: int, offsets: Sequence[tuple[int, int]]) -> None:
        # The running maximum brings tokens that stand for no text (offset 0) into order.
        self._starts = list(accumulate((start for start, _ in offsets), max))
        self._length = length

    def forward(self, start: int, tokens: int) -> int:
        after = bisect_left(self._starts, start) + tokens
        return self._starts[after] if after < len(self._starts) else self._length

    def backward(self, end: int, tokens: int) -> int:
        first = bisect_left(self._starts, end) - tokens
        return 0 if first <= 0 else min([end, *self._starts[first : first + 1]])


class CountRuler:
    """Can only count, as a server's /tokenize does: narrows the place down by interpolation, then halving.

    It stops within a hundredth of the tokens asked for, so that a search costs a few countings of its result
    and never of the whole text.
    """

    def __init__(self, text: str, count: Callable[[str], int]) -> None:
        self._text = text
        self._count = count
        self._characters_per_token = 4.0

    def forward(self, start: int, tokens: int) -> int:
        text = self._text
        return start + self._longest(len(text) - start, tokens, lambda size: text[start : start + size])

    def backward(self, end: int, tokens: int) -> int:
        text = self._text
        return end - self._longest(end, tokens, lambda size: text[end - size : end])

    def _longest(self, limit: int, tokens: int, piece: Callable[[int], str]) -> int:
        """The largest size, of those tried, whose piece is at most `tokens` tokens."""
        fits, too_long = 0, limit + 1
        size = min(limit, int(self._characters_per_token * tokens))
        for attempt in range(_COUNTINGS):
            if too_long - fits <= 1 or tokens <= 0:
                break
            size = min(max(size, fits + 1), too_long - 1)
            counted = self._count(piece(size))
            if counted <= tokens:
                fits = size
                if tokens - counted <= tokens // _TOLERANCE:
                    break
            else:
                too_long = size
            interpolated = size * tokens // max(counted, 1)
            size = interpolated if attempt % 3 != 2 else (fits + min(too_long, 2 * fits + 64)) // 2
        if fits:
            self._characters_per_token = fits / tokens
        return fits
