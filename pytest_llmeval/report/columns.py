"""Tables of text for a terminal of any width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pytest_llmeval.report.leaderboard import NOT_MEASURED
from pytest_llmeval.report.reference import NOT_AVAILABLE

GAP = "  "
Rows = Sequence[Sequence[str]]


def fitted(rows: Rows, width: int, keys: int = 1) -> list[str]:
    """Rows as lines of at most `width` characters, where one column does not need more by itself.

    The first `keys` columns name the row: a table that is too wide goes on below, and repeats them. Columns that hold
    no figure at all are named in a line instead.
    """
    kept, told = without_empty(rows)
    columns = list(zip(*kept, strict=True))
    blocks = _blocks(columns[:keys], columns[keys:], width)
    lines = [line for block in blocks for line in _aligned(block, keys)]
    return [*lines, *(line for one in told for line in wrapped(one, width))]


def without_empty(rows: Rows) -> tuple[list[tuple[str, ...]], list[str]]:
    """The rows without those columns that hold no figure at all, and a line for each reason that names them."""
    columns = list(zip(*rows, strict=True))
    empty: dict[str, list[str]] = {NOT_MEASURED: [], NOT_AVAILABLE: []}
    for heading, *cells in filter(_why_empty, columns):
        empty[cells[0]].append(heading)
    kept = zip(*(column for column in columns if not _why_empty(column)), strict=True)
    return list(kept), [f"{why}: {', '.join(headings)}" for why, headings in empty.items() if headings]


def _why_empty(column: Sequence[str]) -> bool:
    """True where every cell says the same of why it has no figure."""
    return set(column[1:]) in ({NOT_MEASURED}, {NOT_AVAILABLE})


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most `width`; what follows the first is indented. A long word is left whole."""
    return textwrap.wrap(
        text, width, subsequent_indent=GAP, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _blocks(names: Rows, figures: Rows, width: int) -> list[list[Sequence[str]]]:
    """As many columns together as fit, the names before each lot."""
    blocks = [list(names)]
    for column in figures:
        if len(blocks[-1]) > len(names) and _width([*blocks[-1], column]) > width:
            blocks.append(list(names))
        blocks[-1].append(column)
    return blocks


def _width(columns: Rows) -> int:
    return sum(max(map(len, column)) for column in columns) + len(GAP) * (len(columns) - 1)


def _aligned(columns: Rows, keys: int) -> list[str]:
    """Names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in columns]
    return [
        GAP.join(
            cell.ljust(width) if place < keys else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
