"""Accuracy by length and position, as rows of text for every report."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmeval.metrics.lengths import LengthRow
from pytest_llmeval.results import ModelResult
from pytest_llmeval.schema import Position

POSITIONS: tuple[Position, ...] = ("head", "middle", "tail")
TITLE = "Long prompts: right answers by length, and where the problem stands"


def table(results: Sequence[ModelResult]) -> list[tuple[str, ...]]:
    """The headings, then a row for each model and length; empty where no prompt was made long."""
    rows = [row for result in results for row in _rows(result)]
    headings = ("model", "length", "tokens (median)", *(f"at the {position}" for position in POSITIONS))
    return [headings, *rows] if rows else []


def _rows(result: ModelResult) -> list[tuple[str, ...]]:
    found = {(row.tokens, row.position): row for row in result.summary.by_length}
    return [
        (
            result.spec.name,
            f"{tokens // 1000}K",
            _measured([row for row in result.summary.by_length if row.tokens == tokens]),
            *(_cell(found.get((tokens, position))) for position in POSITIONS),
        )
        for tokens in sorted({row.tokens for row in result.summary.by_length})
    ]


def _measured(rows: Sequence[LengthRow]) -> str:
    counts = [row.text_tokens for row in rows if row.text_tokens is not None]
    return f"{sum(counts) / len(counts):,.0f}" if counts else "not measured"


def _cell(row: LengthRow | None) -> str:
    """`3 of 4 right, 4 cut`."""
    if row is None:
        return ""
    return f"{row.passed} of {row.judged} right" + (f", {row.cut} cut" if row.cut else "")
