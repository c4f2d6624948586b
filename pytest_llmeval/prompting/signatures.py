"""Finds what of a problem's text truncation must not cut: the function's signature, the line to go on from."""

from __future__ import annotations

import re

from pytest_llmeval.schema import Span

_OPENING, _CLOSING = "([{", ")]}"
_LONGEST = 2_000
"""Characters of a signature; what goes on longer is none."""


def signatures(text: str, entry_point: str) -> list[Span]:
    """Where `def entry_point(…) -> …:` stands; where the text has none, the assertions that call it."""
    name = re.escape(entry_point)
    heads = re.finditer(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{name}\b", text, re.MULTILINE)
    found = [(head.start(), _end_of_signature(text, head.end())) for head in heads]
    if found:
        return found
    calls = re.finditer(rf"^[ \t]*assert\b[^\n]*\b{name}\b[^\n]*", text, re.MULTILINE)
    return [call.span() for call in calls]


def last_line(text: str) -> list[Span]:
    """The last line that holds something, up to the end: a base model goes on from there."""
    body = text.rstrip()
    return [(body.rfind("\n") + 1, len(text))] if body else []


def _end_of_signature(text: str, start: int) -> int:
    """After the colon that ends the signature; the end of its first line where none does."""
    depth = 0
    for place in range(start, min(len(text), start + _LONGEST)):
        character = text[place]
        depth += (character in _OPENING) - (character in _CLOSING)
        if character == ":" and depth == 0:
            return place + 1
    line_end = text.find("\n", start)
    return len(text) if line_end < 0 else line_end
