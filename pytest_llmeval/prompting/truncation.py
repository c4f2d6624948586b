"""Fits a user's text into a token budget: exact substrings joined by visible markers, with a record.

What is cut is the user's text, never a rendered chat; what must survive (the instruction, the function's
signature) is named as protected spans. Which strategy cuts what is told in docs/truncation.md.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import TypeAlias

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.prompting.rulers import Ruler, Tokenizer, ruler_for
from pytest_llmeval.schema import Span, Strategy

MARKER = "\n[... text cut to fit the context ...]\n"
HEAD_SHARE = 0.8
OVERLAP_SHARE = 0.125
_WORD_REACH_CHARS = 64
_CHARACTER_REACH = 16
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")

_Ranges: TypeAlias = Callable[[int], list[Span]]


class PromptTooLongError(LLMEvalError):
    """A text cannot be made to fit: it may not be cut, or what must be kept is already too long."""

    def __init__(self, what: str, needed_tokens: int, budget_tokens: int) -> None:
        super().__init__(
            f"{what}: its text needs {needed_tokens} tokens, and max_model_len less max_tokens and the chat "
            f"template leaves {max(0, budget_tokens)}"
        )
        self.needed_tokens = needed_tokens
        self.budget_tokens = budget_tokens


@dataclass(frozen=True, slots=True)
class Truncation:
    """A text that fits, and what became of the original: `kept` are its surviving spans, in characters."""

    text: str
    strategy: Strategy
    tokens_before: int
    tokens_after: int
    kept: tuple[Span, ...]
    length_before: int

    @property
    def cut(self) -> tuple[Span, ...]:
        """The spans of the original that were left out."""
        edges = [(0, 0), *self.kept, (self.length_before, self.length_before)]
        return tuple((end, start) for (_, end), (start, _) in pairwise(edges) if start > end)


def truncate(
    text: str,
    tokenizer: Tokenizer,
    budget_tokens: int,
    *,
    strategy: Strategy = Strategy.HEAD_TAIL,
    protected: Sequence[Span] = (),
    head_share: float = HEAD_SHARE,
    marker: str = MARKER,
) -> Truncation:
    """Fit a text into the budget. A text that fits is returned as it is.

    Raises PromptTooLongError where the strategy is `error`, or where the protected spans with their markers
    do not fit. `sliding_window` makes several prompts: see `windows`.
    """
    if strategy is Strategy.SLIDING_WINDOW:
        raise ValueError("sliding_window makes several prompts of one text: call windows() for them")
    before = tokenizer.count(text)
    if before <= budget_tokens:
        return _whole(text, strategy, before)
    if strategy is Strategy.ERROR:
        raise PromptTooLongError("the prompt does not fit", before, budget_tokens)
    cutter = _Cutter(text, tokenizer, budget_tokens, strategy, before, protected, marker)
    return cutter.largest(cutter.ranges(strategy, head_share))


def windows(
    text: str,
    tokenizer: Tokenizer,
    budget_tokens: int,
    *,
    protected: Sequence[Span] = (),
    overlap_share: float = OVERLAP_SHARE,
    marker: str = MARKER,
) -> Iterator[Truncation]:
    """Overlapping stretches that together hold all of the text, each with every protected span."""
    before = tokenizer.count(text)
    if before <= budget_tokens:
        yield _whole(text, Strategy.SLIDING_WINDOW, before)
        return
    cutter = _Cutter(text, tokenizer, budget_tokens, Strategy.SLIDING_WINDOW, before, protected, marker)
    yield from cutter.windows(overlap_share)


def _whole(text: str, strategy: Strategy, tokens: int) -> Truncation:
    return Truncation(text, strategy, tokens, tokens, ((0, len(text)),) if text else (), len(text))


class _Cutter:
    """One text that is too long. Cuts are made in its free text: what is left without the protected spans."""

    def __init__(
        self,
        text: str,
        tokenizer: Tokenizer,
        budget_tokens: int,
        strategy: Strategy,
        tokens_before: int,
        protected: Sequence[Span],
        marker: str,
    ) -> None:
        self._text, self._tokenizer, self._marker = text, tokenizer, marker
        self._budget, self._strategy, self._before = budget_tokens, strategy, tokens_before
        self._protected = _merged(protected, len(text))
        self._segments = _gaps(self._protected, len(text))
        self._free = "".join(text[start:end] for start, end in self._segments)
        self._ruler: Ruler = ruler_for(self._free, tokenizer)
        least = self._kept([]).tokens_after
        if least > budget_tokens:
            raise PromptTooLongError("what must be kept of the prompt does not fit", least, budget_tokens)
        self._available = budget_tokens - least

    def ranges(self, strategy: Strategy, head_share: float) -> _Ranges:
        """The strategy as a function: tokens → the ranges of the free text that survive."""
        if strategy is Strategy.HEAD:
            return lambda tokens: self._head_and_tail(tokens, 1.0)
        if strategy is Strategy.TAIL:
            return lambda tokens: self._head_and_tail(tokens, 0.0)
        if strategy is Strategy.MIDDLE_LINES:
            return lambda tokens: self._whole_lines(tokens, head_share)
        return lambda tokens: self._head_and_tail(tokens, head_share)

    def largest(self, ranges: _Ranges) -> Truncation:
        """The truncation with as many tokens as fit.

        Tokens merge and split across cuts, so only the result's own count decides: what is too much of it is
        taken off the next attempt, and a growing step with it, so that the attempts are few.
        """
        tokens, step = self._available, 0
        while tokens > 0:
            result = self._kept(ranges(tokens))
            if result.tokens_after <= self._budget and (result.kept or not self._free):
                return result
            tokens -= max(1, result.tokens_after - self._budget) + step
            step = 2 * step + 1
        if not self._protected:
            raise PromptTooLongError("nothing of the prompt fits", self._budget + 1, self._budget)
        return self._kept([])

    def windows(self, overlap_share: float) -> Iterator[Truncation]:
        """Stretches of the free text, each beginning a little before the end of the one before it."""
        start, overlap_tokens = 0, int(self._available * overlap_share)
        while start < len(self._free):
            window = self.largest(partial(self._stretch, start))
            held = self._free_characters(window.kept)
            if held == 0:
                raise PromptTooLongError("no window has room for text", self._budget + 1, self._budget)
            yield window
            end = start + held
            again = _word_start(self._free, self._ruler.backward(end, overlap_tokens), end)
            start = again if start < again and end < len(self._free) else end

    def _stretch(self, start: int, tokens: int) -> list[Span]:
        return [(start, _word_end(self._free, self._ruler.forward(start, tokens), start))]

    def _free_characters(self, spans: Sequence[Span]) -> int:
        everything = sum(end - start for start, end in spans)
        return everything - sum(end - start for start, end in self._protected)

    def _head_and_tail(self, tokens: int, head_share: float) -> list[Span]:
        head, tail = self._ends(tokens, round(tokens * head_share))
        length = len(self._free)
        head, tail = _word_end(self._free, head, 0), _word_start(self._free, tail, length)
        return [(0, head), (tail, length)] if head < tail else [(0, length)]

    def _whole_lines(self, tokens: int, head_share: float) -> list[Span]:
        """Lines leave from the middle. Where not one line fits at either end, cut as `head_tail` does."""
        head, tail = self._ends(tokens, tokens - tokens // 2)
        length = len(self._free)
        head = self._free.rfind("\n", 0, head) + 1
        tail = self._free.find("\n", max(0, tail - 1)) + 1 or length
        if head or tail < length:
            return [(0, head), (tail, length)]
        return self._head_and_tail(tokens, head_share)

    def _ends(self, tokens: int, head_tokens: int) -> Span:
        """Where the head ends and the tail begins, in tokens alone."""
        length = len(self._free)
        return self._ruler.forward(0, head_tokens), self._ruler.backward(length, tokens - head_tokens)

    def _kept(self, ranges: Sequence[Span]) -> Truncation:
        """The result of keeping these ranges of the free text, with the protected spans in their places."""
        spans = _merged([*self._protected, *self._in_text(ranges)], len(self._text))
        parts = [self._text[start:end] for start, end in spans]
        if spans and spans[0][0] > 0:
            parts.insert(0, "")
        if spans and spans[-1][1] < len(self._text):
            parts.append("")
        text = self._marker.join(parts) if spans else self._marker
        tokens = self._tokenizer.count(text)
        return Truncation(text, self._strategy, self._before, tokens, tuple(spans), len(self._text))

    def _in_text(self, ranges: Sequence[Span]) -> Iterator[Span]:
        """Ranges of the free text as spans of the text."""
        ends = list(accumulate(end - start for start, end in self._segments))
        for first, last in ranges:
            for (start, end), free_end in zip(self._segments, ends, strict=True):
                free_start = free_end - (end - start)
                low, high = max(first, free_start), min(last, free_end)
                if low < high:
                    yield start + low - free_start, start + high - free_start


def _merged(spans: Sequence[Span], length: int) -> list[Span]:
    """Spans in order, touching ones joined, empty ones dropped."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if not 0 <= start <= end <= length:
            raise ValueError(f"span ({start}, {end}) does not lie in a text of {length} characters")
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def _gaps(spans: Sequence[Span], length: int) -> list[Span]:
    edges = [(0, 0), *spans, (length, length)]
    return [(end, start) for (_, end), (start, _) in pairwise(edges) if start > end]


def _word_end(text: str, position: int, least: int) -> int:
    """A place to stop at or before `position`: at white space within reach, else between characters."""
    if not least < position < len(text) or text[position].isspace():
        return position
    for place in range(position, max(least, position - _WORD_REACH_CHARS), -1):
        if text[place - 1].isspace():
            return place
    nearest = range(position, max(least, position - _CHARACTER_REACH), -1)
    return next((place for place in nearest if not _joins(text, place)), position)


def _word_start(text: str, position: int, most: int) -> int:
    """A place to go on at or after `position`: after white space within reach, else between characters."""
    if not 0 < position < most:
        return position
    for place in range(position, min(most, position + _WORD_REACH_CHARS)):
        if text[place - 1].isspace():
            return place
    nearest = range(position, min(most, position + _CHARACTER_REACH))
    return next((place for place in nearest if not _joins(text, place)), position)


def _joins(text: str, position: int) -> bool:
    """True where a cut would part an accent, a joined emoji or a line break from what it belongs to."""
    before, after = text[position - 1], text[position]
    return (
        after in _JOINERS
        or before == "\u200d"
        or unicodedata.combining(after) != 0
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or (before == "\r" and after == "\n")
    )
