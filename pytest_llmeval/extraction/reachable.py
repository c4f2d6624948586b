"""What a function needs, and nothing else: reachability over a module's top-level statements.

Example calls, prints, asserts, tests and `__main__` blocks are not reachable and fall away. Imports,
constants, helpers, classes, decorators and the statements that fill a table stay.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_llmeval.extraction.names import Names, calls_function, configures_module, names_of
from pytest_llmeval.extraction.syntax import FUNCTIONS, Statement

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_DYNAMIC = frozenset({"eval", "exec", "globals", "locals", "vars", "getattr"})
WORD = re.compile(r"[^\W\d]\w*")
_NEVER = (ast.Assert, ast.Raise, ast.Delete)
_IMPORTS = (ast.Import, ast.ImportFrom)


@dataclass(frozen=True, slots=True)
class Reach:
    """The statements a root needs, in their order, and the names that nothing among them binds."""

    kept: tuple[Statement, ...]
    missing: frozenset[str]


def reachable(statements: Sequence[Statement], roots: Iterable[str], entry_point: str) -> Reach:
    """The statements that the roots need, directly or through one another."""
    return _Search(statements, entry_point).run(roots)


class _Search:
    """One search: which statements matter to which name, and which are already kept."""

    def __init__(self, statements: Sequence[Statement], entry_point: str) -> None:
        self._statements = [s for s in statements if _may_stay(s.node, entry_point)]
        self._names = [names_of(statement) for statement in self._statements]
        self._by_name: dict[str, list[int]] = {}
        self._alterers: dict[str, list[str]] = {}  # name → the functions that alter it when they are called
        self._called_at: dict[str, list[int]] = {}
        self._index(entry_point)
        self._kept: set[int] = set()
        self._needed: set[str] = set()

    def _index(self, entry_point: str) -> None:
        modules = {name for s, n in self._pairs() if isinstance(s.node, _IMPORTS) for name in n.binds}
        for function, altered in self._altered_by_call(entry_point).items():
            for name in altered - modules:
                self._alterers.setdefault(name, []).append(function)
        for position, (statement, names) in enumerate(self._pairs()):
            changes = names.changes
            if isinstance(statement.node, FUNCTIONS):
                changes = frozenset()
            elif not configures_module(statement.node):
                changes -= modules
            for name in names.binds | changes:
                self._by_name.setdefault(name, []).append(position)
            for function in names.calls:
                self._called_at.setdefault(function, []).append(position)

    def _altered_by_call(self, entry_point: str) -> dict[str, frozenset[str]]:
        """Function → the module's names that calling it alters; a bare call to it may fill a table."""
        return {
            s.node.name: n.changes
            for s, n in self._pairs()
            if isinstance(s.node, ast.FunctionDef) and s.node.name != entry_point
        }

    def _pairs(self) -> Iterable[tuple[Statement, Names]]:
        return zip(self._statements, self._names, strict=True)

    def run(self, roots: Iterable[str]) -> Reach:
        waiting = list(roots)
        waiting.extend(name for position in self._unconditional() for name in self._keep(position))
        while waiting:
            name = waiting.pop()
            if name in self._needed:
                continue
            self._needed.add(name)
            for position in self._positions(name):
                waiting.extend(self._keep(position))
        return Reach(tuple(self._statements[i] for i in sorted(self._kept)), self._missing())

    def _positions(self, name: str) -> Iterator[int]:
        """Of statements that bind or change the name, and of calls that do, which are looked at once."""
        yield from self._by_name.get(name, ())
        for function in self._alterers.get(name, ()):
            yield from self._called_at.pop(function, ())

    def _keep(self, position: int) -> frozenset[str]:
        if position in self._kept:
            return frozenset()
        self._kept.add(position)
        uses = self._names[position].uses
        return uses | self._named_in_strings(position) if uses & _DYNAMIC else uses

    def _unconditional(self) -> list[int]:
        """Star imports bind unknown names; `__future__` changes how the rest is read."""
        return [
            i for i, s in enumerate(self._statements) if _is_star_import(s.node) or is_future_import(s.node)
        ]

    def _named_in_strings(self, position: int) -> frozenset[str]:
        """The module's names that stand in a statement's strings, where it evaluates source."""
        strings = (n.value for n in ast.walk(self._statements[position].node) if isinstance(n, ast.Constant))
        words = {word for text in strings if isinstance(text, str) for word in WORD.findall(text)}
        return frozenset(words & (self._by_name.keys() | self._alterers.keys()))

    def _missing(self) -> frozenset[str]:
        if any(_is_star_import(statement.node) for statement in self._statements):
            return frozenset()
        bound = {name for position in self._kept for name in self._names[position].binds}
        return frozenset(self._needed - bound - _BUILTINS)


def _may_stay(node: ast.stmt, entry_point: str) -> bool:
    if isinstance(node, _NEVER) or _is_main_guard(node):
        return False
    if isinstance(node, FUNCTIONS):
        return True
    return not calls_function(node, entry_point) and not calls_function(node, "input")


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and any(
        isinstance(inner, ast.Name) and inner.id == "__name__" for inner in ast.walk(node.test)
    )


def is_future_import(node: ast.stmt) -> bool:
    """True for `from __future__ import …`, which must open a module."""
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _is_star_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
