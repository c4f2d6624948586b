"""Why a test failed, in one line: the assertion, and the values that met in it."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any, Protocol

from . import codec

TEST_NAME = "<test>"
VALUE_KEPT = 120


class Called(Protocol):
    """The last call of the function under test."""

    calls: int
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    result: Any


def failure(error: BaseException, source: str, answers: Called) -> str:
    """`assert candidate([1, 2]) == 3: got 4` for an assertion, led by the error's name for anything else."""
    frame, line = _test_frame(error)
    statement = statement_at(source, line)
    text = in_one_line(statement) if statement is not None else f"line {line} of the tests"
    values = _values(statement, frame, answers)
    if isinstance(error, AssertionError):
        return f"{text}: {values}" if values else text
    kind, _, message, _ = codec.encode_exception(error)
    return f"{kind}: {message} in {text}" + (f": {values}" if values else "")


def in_one_line(statement: ast.stmt) -> str:
    """The statement's source, an assertion's without its message."""
    if isinstance(statement, ast.Assert):
        return _shortened(f"assert {ast.unparse(statement.test)}")
    return _shortened(" ".join(ast.unparse(statement).split()))


def _test_frame(error: BaseException) -> tuple[Any, int]:
    """The innermost frame of the tests' own source that the error passed through, and its line."""
    found, line = None, 0
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == TEST_NAME:
            found, line = traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next
    return found, line


@lru_cache(maxsize=4)
def _statements(source: str) -> list[ast.stmt]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]


def statement_at(source: str, line: int) -> ast.stmt | None:
    """The smallest statement that covers `line`."""
    covering = [s for s in _statements(source) if s.lineno <= line <= (s.end_lineno or s.lineno)]
    return min(covering, key=lambda s: (s.end_lineno or s.lineno) - s.lineno, default=None)


def _values(statement: ast.stmt | None, frame: Any, answers: Called) -> str:
    if not answers.calls:
        return ""
    got = f"got {shown(answers.result)}"
    if statement is None or not _is_literal_call(statement):
        positional, keywords = answers.arguments
        shown_arguments = [shown(a) for a in positional] + [f"{k}={shown(v)}" for k, v in keywords.items()]
        got += f" from candidate({_shortened(', '.join(shown_arguments))})"
    expected = _expected(statement, frame)
    return f"{got}, expected {expected}" if expected else got


def _is_literal_call(statement: ast.stmt) -> bool:
    """True where the statement shows the arguments of its call itself."""
    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    candidates = [call for call in calls if call.func.id == "candidate"]  # type: ignore[attr-defined]
    if not candidates:
        return False
    return all(_is_literal(argument) for call in candidates for argument in call.args)


def _is_literal(node: ast.expr) -> bool:
    return not any(isinstance(part, ast.Name | ast.Call) for part in ast.walk(node))


def _expected(statement: ast.stmt | None, frame: Any) -> str:
    """The value that was asked for, where the assertion names a variable for it."""
    if frame is None or not isinstance(statement, ast.Assert):
        return ""
    match statement.test:
        case ast.Compare(ops=[_], comparators=[ast.Name(id=name)]) if name in frame.f_locals:
            return shown(frame.f_locals[name])
    return ""


def shown(value: Any) -> str:
    """A bounded repr of plain data."""
    try:
        return _shortened(repr(value))
    except (RecursionError, ValueError, MemoryError) as error:  # an integer too long to be written
        return f"<{type(value).__name__}: {type(error).__name__}>"


def _shortened(text: str) -> str:
    return text if len(text) <= VALUE_KEPT else text[: VALUE_KEPT - 1] + "…"
