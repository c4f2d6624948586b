"""Accuracy by length and position, as rows of text for every report."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmeval.metrics.lengths import LengthRow
from pytest_llmeval.report.leaderboard import named
from pytest_llmeval.runs.results import Line
from pytest_llmeval.schema import Position

POSITIONS: tuple[Position, ...] = ("head", "middle", "tail")
TITLE = "Long prompts: right answers by length, and where the problem stands"


def table(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """The headings, then a row for each model and length; empty where no prompt was made long."""
    long = [line for line in lines if line.figures.by_length]
    rows = [row for line in long for row in _rows(line, named(line, long))]
    headings = ("model", "length", "tokens (median)", *(f"at the {position}" for position in POSITIONS))
    return [headings, *rows] if rows else []


def _rows(line: Line, name: str) -> list[tuple[str, ...]]:
    found = {(row.tokens, row.position): row for row in line.figures.by_length}
    return [
        (
            name,
            thousands(tokens),
            _measured([row for row in line.figures.by_length if row.tokens == tokens]),
            *(_cell(found.get((tokens, position))) for position in POSITIONS),
        )
        for tokens in sorted({row.tokens for row in line.figures.by_length})
    ]


def thousands(tokens: float) -> str:
    """`4K`, `1.5K`, `500`."""
    return f"{tokens / 1000:g}K" if tokens >= 1000 else f"{tokens:g}"


def _measured(rows: Sequence[LengthRow]) -> str:
    counts = [row.text_tokens for row in rows if row.text_tokens is not None]
    return f"{sum(counts) / len(counts):,.0f}" if counts else "not measured"


def _cell(row: LengthRow | None) -> str:
    """`3 of 4 right, 4 cut`."""
    if row is None:
        return ""
    return f"{row.passed} of {row.judged} right" + (f", {row.cut} cut" if row.cut else "")
