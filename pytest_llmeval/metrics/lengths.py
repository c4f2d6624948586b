"""Accuracy by the length of the prompt and the place of the problem in it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from pytest_llmeval.schema import Completion, Position, Record


@dataclass(frozen=True)
class LengthRow:
    """Problems in prompts of one nominal length, at one position.

    `passed` and `judged` count samples, `cut` those whose prompt did not fit and was cut. `text_tokens` is the
    median of what prompts of this length really had, by the model's tokenizer; None where nothing counted.
    """

    tokens: int
    position: Position
    judged: int
    passed: int
    cut: int
    text_tokens: float | None


def by_length(records: Iterable[Record]) -> tuple[LengthRow, ...]:
    """One row for each length and position, short ones first; empty where no prompt was made long."""
    groups: dict[tuple[int, Position], list[Record]] = {}
    for record in records:
        if record.padding is not None:
            groups.setdefault((record.padding.tokens, record.padding.position), []).append(record)
    return tuple(_row(*key, groups[key]) for key in sorted(groups))


def _row(tokens: int, position: Position, records: list[Record]) -> LengthRow:
    counts, cut = array("q"), 0
    for answer in (sample.completion for record in records for sample in record.samples):
        cut += answer.cut is not None
        if (count := _tokens_before(answer)) is not None:
            counts.append(count)
    return LengthRow(
        tokens=tokens,
        position=position,
        judged=sum(record.judged for record in records),
        passed=sum(record.correct for record in records),
        cut=cut,
        text_tokens=median(counts) if counts else None,
    )


def _tokens_before(answer: Completion) -> int | None:
    return answer.prompt_tokens if answer.cut is None else answer.cut.tokens_before
