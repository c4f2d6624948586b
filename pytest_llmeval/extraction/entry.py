"""Where a module defines the entry point, in any of the forms that models give it."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from pytest_llmeval.extraction.names import calls_function, folded, immediate
from pytest_llmeval.extraction.syntax import FUNCTIONS, Statement

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_COMPOUND = (ast.If, ast.Try, ast.With)


@dataclass(frozen=True)
class Entry:
    """A definition of the entry point: its form, its node, and the names a Program must reach for it.

    `adapter` is source that makes the entry point out of another form (a method, another spelling).
    """

    form: str
    node: ast.stmt
    root: str
    adapter: str = ""

    @cached_property
    def lines(self) -> list[str]:
        """Its code, line by line, without comments and layout."""
        try:
            return [line.strip() for line in ast.unparse(self.node).splitlines()]
        except (RecursionError, ValueError):
            return [""]  # nested too deeply to be walked, or a number too long to be written

    @property
    def falls_through(self) -> bool:
        """True where a call may reach the end of the body without returning."""
        return isinstance(self.node, FUNCTIONS) and _falls_through(self.node.body)

    @property
    def elided(self) -> bool:
        """True where the body leaves parts out with `...`: an excerpt to explain, not an answer."""
        body = self.node.body if isinstance(self.node, FUNCTIONS) else []
        return any(_is_ellipsis(inner) for node in body for inner in ast.walk(node))


def find_entry(statements: Sequence[Statement], name: str) -> Entry | None:
    """The module's definition of `name` that does something: a function, else a method of a class."""
    return _function(statements, name) or _method(statements, name)


def find_respelt_entry(statements: Sequence[Statement], name: str) -> Entry | None:
    """`hasCloseElements` for `has_close_elements`: the same letters in another case."""
    for spelt in _function_names(statements):
        if spelt != name and folded(spelt) == folded(name):
            entry = find_entry(statements, spelt)
            if entry is not None:
                return replace(entry, form="respelt", adapter=f"{entry.adapter}{name} = {spelt}\n")
    return None


def stub_of(statements: Sequence[Statement], name: str) -> Entry | None:
    """A definition of `name` that does nothing, where that is all there is."""
    for statement in reversed(statements):
        if isinstance(statement.node, FUNCTIONS) and statement.node.name == name:
            return Entry("stub", statement.node, name)
    return None


def without_stubs(statements: Iterable[Statement], defined_elsewhere: Iterable[str]) -> tuple[Statement, ...]:
    """Drop functions that do nothing (a signature repeated, an overload) where a real one exists."""
    statements = tuple(statements)
    real = {s.node.name for s in statements if isinstance(s.node, FUNCTIONS) and not is_stub(s.node)}
    real.update(defined_elsewhere)
    return tuple(
        s
        for s in statements
        if not (isinstance(s.node, FUNCTIONS) and s.node.name in real and is_stub(s.node))
    )


def without_overridden(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Drop plain functions that a later one of the same name replaces before anything could run them."""
    last = {s.node.name: s for s in statements if isinstance(s.node, FUNCTIONS)}
    used_otherwise = {
        node.id
        for s in statements
        if not isinstance(s.node, FUNCTIONS)
        for node in immediate(s.node)
        if isinstance(node, ast.Name)
    }
    return tuple(s for s in statements if not _is_overridden(s, last, used_otherwise))


def _is_overridden(statement: Statement, last: Mapping[str, Statement], used: Container[str]) -> bool:
    node = statement.node
    if not isinstance(node, FUNCTIONS) or last[node.name] is statement or node.name in used:
        return False
    return not node.decorator_list and not last[node.name].node.decorator_list  # type: ignore[attr-defined]


def stub_names(statements: Iterable[Statement]) -> frozenset[str]:
    """Names of the functions among the statements that do nothing."""
    functions = [s.node for s in statements if isinstance(s.node, FUNCTIONS)]
    return frozenset(function.name for function in functions if is_stub(function))


def is_stub(function: _Function) -> bool:
    """True where the body holds only a docstring, imports, `pass`, `...` or `raise NotImplementedError`."""
    return all(_does_nothing(node) for node in function.body)


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise) and node.exc is not None:
        return any(isinstance(n, ast.Name) and n.id == "NotImplementedError" for n in ast.walk(node.exc))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, (ast.Pass, ast.Import, ast.ImportFrom))


def _falls_through(body: Sequence[ast.stmt]) -> bool:
    last = body[-1] if body else None
    if isinstance(last, ast.If):
        return _falls_through(last.body) or _falls_through(last.orelse)
    if isinstance(last, ast.With):
        return _falls_through(last.body)
    if isinstance(last, ast.Try):
        ends = [last.orelse or last.body, *(handler.body for handler in last.handlers)]
        return any(map(_falls_through, ends))
    if isinstance(last, ast.While):
        return not isinstance(last.test, ast.Constant)
    return not isinstance(last, (ast.Return, ast.Raise))


def _is_ellipsis(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _function(statements: Sequence[Statement], name: str) -> Entry | None:
    for statement in reversed(statements):
        if _binds_callable(statement.node, name):
            return Entry("function", statement.node, name)
    return None


def _binds_callable(node: ast.stmt, name: str) -> bool:
    if isinstance(node, FUNCTIONS):
        return node.name == name and not is_stub(node)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        return named and _may_be_callable(node.value) and not calls_function(node, name)
    return isinstance(node, _COMPOUND) and any(_binds_callable(inner, name) for inner in _branches(node))


def _may_be_callable(value: ast.expr | None) -> bool:
    return isinstance(value, (ast.Lambda, ast.Name, ast.Attribute, ast.Call))


def _branches(node: ast.stmt) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ExceptHandler):
            yield from child.body
        elif isinstance(child, ast.stmt):
            yield child


def _method(statements: Sequence[Statement], name: str) -> Entry | None:
    for statement in reversed(statements):
        if isinstance(statement.node, ast.ClassDef):
            for member in statement.node.body:
                if isinstance(member, FUNCTIONS) and member.name == name and not is_stub(member):
                    owner = statement.node.name
                    return Entry("method", member, owner, _method_adapter(member, owner))
    return None


def _method_adapter(method: _Function, owner: str) -> str:
    """A function that calls the method, on a fresh instance unless it takes none."""
    positional = [*method.args.posonlyargs, *method.args.args]
    receiver = f"{owner}()" if positional and positional[0].arg == "self" else owner
    return f"def {method.name}(*args, **kwargs):\n    return {receiver}.{method.name}(*args, **kwargs)\n"


def _function_names(statements: Sequence[Statement]) -> Iterator[str]:
    """Names of functions and methods, the last first."""
    for statement in reversed(statements):
        body = statement.node.body if isinstance(statement.node, ast.ClassDef) else [statement.node]
        yield from (node.name for node in reversed(body) if isinstance(node, FUNCTIONS))
