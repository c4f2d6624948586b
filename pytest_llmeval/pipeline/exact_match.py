"""Is a program the canonical solution, word for word? Compared as syntax trees, not as text.

A model that has seen the benchmark repeats its solutions; one that merely solves it rarely does, because few
tasks have one way to be written. So this is a sign of memorising, not of quality.
"""

from __future__ import annotations

import ast

from pytest_llmeval.extraction.syntax import MAX_SOURCE_CHARS, silenced
from pytest_llmeval.schema import Problem

Tree = dict[str, str]


class CanonicalSolution:
    """The canonical solution of one problem, read once, to hold programs against."""

    def __init__(self, problem: Problem) -> None:
        self._source = problem.prompt + problem.canonical_solution
        self._tree: Tree | None = None

    def equals(self, source: str) -> bool:
        """True where `source` defines the same things in the same way.

        Comments, docstrings, layout, imports (the prompt's are there anyway) and the order of definitions do not
        count; names, types and the order of statements in a definition do.
        """
        if source == self._source:
            return True
        if self._tree is None:
            self._tree = definitions(self._source) or {}
        return bool(self._tree) and definitions(source) == self._tree


def definitions(source: str) -> Tree | None:
    """Name → dump of every function, class and other statement at the top; None where it does not parse.

    Of two definitions of one name the later holds, as in Python.
    """
    if len(source) > MAX_SOURCE_CHARS or "\0" in source:
        return None
    try:
        with silenced():
            body = ast.parse(source).body
        kept = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom)]
        return {_name(node): ast.dump(_without_docstrings(node)) for node in kept if not _is_text(node)}
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def _name(node: ast.stmt) -> str:
    return getattr(node, "name", None) or ast.dump(node)


def _is_text(node: ast.stmt) -> bool:
    """A statement that is only a string: a docstring, or a comment in its clothes."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _without_docstrings(tree: ast.stmt) -> ast.stmt:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_text(statement)]  # type: ignore[attr-defined]
    return tree
