"""Fenced code blocks, found by a Markdown parser, and what stands between broken fences."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_MARKDOWN_CHARS = 200_000
"""Markdown parsing slows down on long hostile lists; longer answers are split at fence lines instead."""

_REJOINED_FENCES = 6
_FENCE_LINE = re.compile(r"^[ \t>]*+(?:```++|~~~++)[^\n`]*+(?:\n|\Z)", re.MULTILINE)
_OPENING_LINE = re.compile(r"^[ \t>]*+(?:```++|~~~++)[ \t]*+\{?\.?[A-Za-z]", re.MULTILINE)
_CODE_AFTER_LANGUAGE = re.compile(r"^\S*\s+(?=(?:async\s+)?def\s|from\s|import\s|class\s)")
_UNWANTED_RULES = ("code", "html_block", "reference", "lheading", "hr", "inline", "text_join")


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of an answer that may be code. `closed` is False where the answer ended inside a fence.

    `introduction` is the line of prose before it.
    """

    text: str
    closed: bool = True
    introduction: str = ""


def fenced_blocks(text: str) -> list[Block]:
    """The contents of the answer's code fences, in order.

    A fence that holds another opening fence line was opened by a stray one, or wraps a Markdown document:
    its pieces follow it.
    """
    if len(text) > MAX_MARKDOWN_CHARS:
        return []
    lines = text.split("\n")
    return [
        block
        for token in _markdown().parse(text)
        if token.type == "fence"
        for block in _blocks_of(token, lines)
    ]


def between_fence_lines(text: str) -> list[Block]:
    """The stretches between any two fence lines, inside and outside alike, however fences are broken."""
    return [Block(piece) for piece in _FENCE_LINE.split(text) if piece.strip()]


def rejoined_blocks(text: str) -> Iterator[Block]:
    """Stretches over several fence lines: a fence inside a docstring seems to end the block around it."""
    marks = list(_FENCE_LINE.finditer(text))
    for last in range(len(marks), 1, -1):
        end = marks[last].start() if last < len(marks) else len(text)
        for first in range(max(0, last - _REJOINED_FENCES), last - 1):
            yield Block(text[marks[first].end() : end])


@functools.cache
def _markdown() -> MarkdownIt:
    """A parser for block structure only. Models indent fences at will, so indentation makes no code block."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable(_UNWANTED_RULES)


def _blocks_of(token: Token, lines: list[str]) -> Iterator[Block]:
    content = _content(token)
    yield Block(content, _is_closed(token, lines), _introduction(token, lines))
    if _OPENING_LINE.search(content):
        yield from between_fence_lines(content)


def _content(token: Token) -> str:
    """The fence's text, with code that was written on the opening line after the language."""
    code = _CODE_AFTER_LANGUAGE.split(token.info, maxsplit=1)
    return f"{code[1]}\n{token.content}" if len(code) == 2 else token.content


def _introduction(token: Token, lines: list[str]) -> str:
    first, _ = token.map or (0, 0)
    return next((line for line in reversed(lines[max(0, first - 4) : first]) if line.strip()), "")


def _is_closed(token: Token, lines: list[str]) -> bool:
    first, after = token.map or (0, 0)
    return after - first > 1 and lines[after - 1].strip(" \t>").startswith(token.markup)
