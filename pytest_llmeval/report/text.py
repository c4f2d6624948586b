"""Text that a model may have written, made harmless for terminals, pages and Markdown; tables of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html import escape

_KEPT = {"\n", "\t"}
_SUSPICIOUS = re.compile(r"[^\n\t -~]")  # all but plain ASCII is looked up
# Control, format (bidi overrides, zero width), surrogate, private use, unassigned.
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn"}


def safe(text: str) -> str:
    r"""`text` with control, bidi and surrogate characters spelled as \x1b, \u202e and the like."""
    return _SUSPICIOUS.sub(lambda found: _spelled(found[0]), text)


def _spelled(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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
    lines = "".join("<tr>" + "".join(f"<td>{html(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"<div class=scroll><table class=board><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"


def table_markdown(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the headings; cells are Markdown already."""
    headings, *body = rows
    lines = [headings, ["---"] * len(headings), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
