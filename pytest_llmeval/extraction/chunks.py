"""Unfenced text → stretches that may each be a top-level statement, while the rest may be prose."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r'''"""(?:[^"\\]|\\.|"(?!""))*+"""|\'\'\'(?:[^'\\]|\\.|'(?!\'\'))*+\'\'\''''
    r"""|(?P<unclosed>\"{3}|'{3})|"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'"""
    r"""|\#[^\n]*+|\\.|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<newline>\n)""",
    re.DOTALL,
)
_NEW_STATEMENT = re.compile(r"(?!(?:else|elif|except|finally)\b)[^\s#)\]}]")
_TOP_LEVEL_LINE = re.compile(r"^[^\s#]", re.MULTILINE)
_LIKE_CODE = re.compile(
    r"(?:async|def|class|import|from|if|for|while|try|with)\b|@|[A-Za-z_][\w.]*+(?:\[[^\]\n]*+\])*+\s*+[:=(,+*/|&-]"
)
_LOOK_AHEAD_CHARS = 30_000


def top_level_split(text: str) -> tuple[str, str]:
    """Code, split before its first statement in column 0; a line inside a string or a bracket is none."""
    if _NEW_STATEMENT.match(text):
        return "", text
    end = _statement_end(text, 0, len(text))
    return (text, "") if end is None else (text[:end], text[end:])


def code_chunks(text: str) -> Iterator[str]:
    """The stretches of a text that begin like a statement, prose left out.

    A stretch runs to the next line in column 0 that is not inside a string or bracket. A bracket or quote
    that never closes is prose: then the stretch ends at the next line in column 0, whatever that is. Looking
    ahead is limited in all, so that hostile text costs linear time.
    """
    allowance = 8 * len(text) + _LOOK_AHEAD_CHARS
    start = _next_line(text, 0)
    while start < len(text):
        limit = min(len(text), start + min(_LOOK_AHEAD_CHARS, allowance))
        found = _statement_end(text, start, limit)
        end = found if found is not None else _next_line(text, start + 1)
        allowance -= (end if found is not None else limit) - start
        if _LIKE_CODE.match(text, start):
            yield text[start:end]
        start = _next_line(text, end)


def _next_line(text: str, position: int) -> int:
    match = _TOP_LEVEL_LINE.search(text, position)
    return match.start() if match else len(text)


def _statement_end(text: str, start: int, limit: int) -> int | None:
    """Where the statement that begins at `start` ends, or None where it does not within the limit."""
    depth, line = 0, start
    for token in _TOKEN.finditer(text, start, limit):
        if token["unclosed"]:
            return None
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth = max(0, depth - 1)
        elif token["newline"] and depth == 0:
            is_decorator = text.startswith("@", line)
            line = token.end()
            if not is_decorator and _NEW_STATEMENT.match(text, line):
                return line
    return len(text) if limit == len(text) and depth == 0 else None
