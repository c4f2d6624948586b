"""Python source → statements, safely: nothing is executed, hostile sources cost bounded time.

CPython's parser answers a hostile source with an exception (syntax, recursion, memory), and its compiler is
quadratic in the number of functions. So sources are capped, statements are compiled one by one, and one
answer may spend only a fixed allowance of characters on parsing.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MAX_SOURCE_CHARS = 100_000
"""Longer sources are not read as code: no answer to a programming task comes near."""

MAX_STATEMENTS = 4_000
"""Nor is a source of more top-level statements: what a function needs is searched among all of them."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_REFUSALS = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)
_warning_filters = threading.Lock()


@dataclass(frozen=True, slots=True)
class Statement:
    """One top-level statement with its own source text, decorators included."""

    node: ast.stmt
    source: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What parsing a source gave: its statements, or the line of its first error (1-based)."""

    statements: tuple[Statement, ...] | None
    error_line: int = 0


class Parser:
    """Parses the pieces of one answer: remembers what it has read, stops when its allowance is spent."""

    def __init__(self, allowance_chars: int) -> None:
        self._left = allowance_chars
        self._seen: dict[str, Reading] = {}

    @property
    def exhausted(self) -> bool:
        """True once nothing more will be parsed."""
        return self._left <= 0

    def statements(self, source: str) -> tuple[Statement, ...] | None:
        """The top-level statements of a source that compiles, else None."""
        return self.read(source).statements

    def read(self, source: str) -> Reading:
        """The statements of a source, or where it goes wrong."""
        source = with_line_feeds(source)
        if source not in self._seen:
            if len(source) > min(MAX_SOURCE_CHARS, self._left):
                return Reading(None)
            self._left -= len(source)
            self._seen[source] = _read(source)
        return self._seen[source]


def with_line_feeds(text: str) -> str:
    """The text with every line break as Python's own parser counts it: it takes a carriage return for one."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _read(source: str) -> Reading:
    if "\0" in source:
        return Reading(None, source[: source.index("\0")].count("\n") + 1)
    with silenced():
        try:
            tree = ast.parse(source)
            if len(tree.body) > MAX_STATEMENTS:
                return Reading(None)
            for node in tree.body:
                compile(ast.Module([node], type_ignores=[]), "<answer>", "exec", dont_inherit=True)
        except SyntaxError as error:
            return Reading(None, error.lineno or 0)
        except _REFUSALS:
            return Reading(None)
    lines = source.split("\n")
    return Reading(tuple(Statement(node, _slice(lines, node)) for node in tree.body))


def _slice(lines: list[str], node: ast.stmt) -> str:
    """The text of a statement. Columns count UTF-8 bytes; `ast.get_source_segment` is quadratic."""
    first, start = node.lineno, node.col_offset
    for decorator in getattr(node, "decorator_list", ()):
        first, start = min((first, start), (decorator.lineno, 0))
    last, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    text = lines[first - 1 : last]
    text[-1] = text[-1].encode()[:end].decode()
    text[0] = text[0].encode()[start:].decode()
    return "\n".join(text)


@contextmanager
def silenced() -> Iterator[None]:
    """Parse without warnings: an invalid escape in an answer is no news, and `-W error` would reject it.

    The filters are process-wide, hence the lock: extraction may run in several threads.
    """
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
