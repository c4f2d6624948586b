"""Why a test failed, in one line: the assertion, and the values that met in it.

Statements are parsed by `compile` alone: the module `ast` would make every fork dearer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from . import codec

TEST_NAME = "<test>"
VALUE_KEPT = 120
DETAIL_KEPT = 400
MAX_LINES = 40  # of one statement
_ONLY_PARSE = 0x400  # ast.PyCF_ONLY_AST


class Called(Protocol):
    """The last call of the function under test."""

    calls: int
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    result: Any


class Statement:
    """One statement of the tests, found by the line it starts on."""

    def __init__(self, source: str, line: int) -> None:
        lines = source.splitlines()[line - 1 : line - 1 + MAX_LINES]
        self._text = lines[0].strip() if lines else ""
        self._node: Any = None
        for count in range(1, len(lines) + 1):
            text = "\n".join(lines[:count]).lstrip()
            try:
                (self._node,) = compile(text, TEST_NAME, "exec", _ONLY_PARSE, dont_inherit=True).body
            except (SyntaxError, ValueError):
                continue  # it goes on, or is the head of a block
            self._text = text
            break

    def __str__(self) -> str:
        """Its source in one line, an assertion's without the message."""
        text = self._text
        if self.is_assertion():
            condition = self._node.test
            lines = text.encode().splitlines()[: condition.end_lineno]
            lines[-1] = lines[-1][: condition.end_col_offset]
            text = b"\n".join(lines).decode()
            text += ")" * (text.count("(") - text.count(")"))  # brackets around the whole are no part of it
        return shortened(" ".join(text.split()))

    def is_assertion(self) -> bool:
        return type(self._node).__name__ == "Assert"

    def shows_arguments(self) -> bool:
        """True where the calls of the function under test have nothing but literals for arguments."""
        calls = [n for n in _walk(self._node) if type(n).__name__ == "Call" and _name(n.func) == "candidate"]
        parts = [part for call in calls for argument in call.args for part in _walk(argument)]
        return bool(calls) and not any(type(part).__name__ in ("Name", "Call") for part in parts)

    def expected_name(self) -> str:
        """The variable that an assertion compares with, if it is one."""
        if not self.is_assertion() or type(self._node.test).__name__ != "Compare":
            return ""
        comparators = self._node.test.comparators
        return _name(comparators[0]) if len(comparators) == 1 else ""


def _walk(node: Any) -> Iterator[Any]:
    """A syntax node and everything below it."""
    if isinstance(node, list):
        for item in node:
            yield from _walk(item)
    elif hasattr(node, "_fields"):
        yield node
        for field in node._fields:
            yield from _walk(getattr(node, field, None))


def _name(node: Any) -> str:
    return node.id if type(node).__name__ == "Name" else ""


def failure(error: BaseException, source: str, answers: Called) -> str:
    """`assert candidate([1, 2]) == 3: got 4` for an assertion, led by the error's name for anything else."""
    frame, line = _test_frame(error)
    statement = Statement(source, line)
    values = _values(statement, frame, answers)
    text = f"{statement}: {values}" if values else str(statement)
    if isinstance(error, AssertionError):
        return text
    kind, _, message, _ = codec.encode_exception(error)
    return f"{kind}: {message} in {text}"


def _test_frame(error: BaseException) -> tuple[Any, int]:
    """The innermost frame of the tests' own source that the error passed through, and its line."""
    found, line = None, 1
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == TEST_NAME:
            found, line = traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next
    return found, line


def _values(statement: Statement, frame: Any, answers: Called) -> str:
    if not answers.calls:
        return ""
    values = f"got {shown(answers.result)}"
    if not statement.shows_arguments():
        positional, keywords = answers.arguments
        arguments = [shown(a) for a in positional] + [f"{k}={shown(v)}" for k, v in keywords.items()]
        values += f" from candidate({shortened(', '.join(arguments))})"
    expected = statement.expected_name()
    if frame is not None and expected in frame.f_locals:
        values += f", expected {shown(frame.f_locals[expected])}"
    return values


def shown(value: Any) -> str:
    """A bounded repr of plain data."""
    try:
        return shortened(repr(value))
    except (RecursionError, ValueError, MemoryError) as error:  # an integer too long to be written
        return f"<{type(value).__name__}: {type(error).__name__}>"


def shortened(text: str) -> str:
    """The text, or its beginning."""
    return text if len(text) <= VALUE_KEPT else text[: VALUE_KEPT - 1] + "…"


def in_one_line(detail: str) -> str:
    """What a verdict says beside its outcome: white space folded, and no more than people read."""
    return " ".join(detail.split())[:DETAIL_KEPT]
