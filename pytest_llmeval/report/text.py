"""Text that a model may have written, made harmless for pages and Markdown; tables of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from pytest_llmeval.printable import safe

DENSE = 10  # columns; more of them are written smaller


def html(text: object) -> str:
    """Any text as HTML: neither markup, nor the end of an attribute, nor something invisible."""
    return escape(safe(str(text)))


def code(text: object) -> str:
    """Any text as a code span of one line of Markdown: no markup, link, mention or HTML in it takes effect.

    A bar is escaped, because it would end a table's cell even in a code span.
    """
    line = " ".join(safe(str(text)).split()).replace("|", r"\|")
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def fenced(text: str, language: str = "") -> str:
    """Any text as a fenced block that it cannot end."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{safe(text).rstrip()}\n{fence}"


def _longest_run(text: str) -> int:
    """Of backticks, which close a code span or a fence of the same length."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


def table_html(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the headings; nothing in a cell takes effect."""
    headings, *body = rows
    head = "".join(f"<th scope=col>{html(cell)}</th>" for cell in headings)
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td data-l='{html(label)}'><div>{html(cell)}</div></td>"
            for label, cell in zip(headings, row, strict=True)
        )
        + "</tr>"
        for row in body
    )
    dense = " dense" if len(headings) > DENSE else ""
    table = f"<table class='board{dense}'><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    return f"<div class=scroll>{table}</div>"


def table_markdown(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the headings; cells are Markdown already."""
    headings, *body = rows
    lines = [headings, ["---"] * len(headings), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
