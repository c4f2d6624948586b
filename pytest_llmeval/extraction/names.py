"""Which module-level names a statement binds, uses and changes."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_llmeval.extraction.syntax import FUNCTIONS, Statement, silenced

_LIST_METHODS = ("append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear", "push")
_OTHER_METHODS = ("add", "discard", "update", "setdefault", "popitem", "appendleft", "extendleft", "popleft")
_MUTATORS = frozenset((*_LIST_METHODS, *_OTHER_METHODS))
_CONFIGURING = ("set", "seed", "append", "insert", "update", "filterwarnings", "simplefilter")


@dataclass(frozen=True, slots=True)
class Names:
    """The module-level names a statement touches.

    `changes` are names whose value the statement alters without binding them (`memo[0] = 1`); of a function,
    what a call alters. `calls` are the plain functions that a bare call statement runs.
    """

    binds: frozenset[str]
    uses: frozenset[str]
    changes: frozenset[str]
    calls: frozenset[str]


def names_of(statement: Statement) -> Names:
    """Read the names of one top-level statement off its symbol table and its tree."""
    with silenced():
        table = symtable.symtable(statement.source, "<answer>", "exec")
    binds, uses, writes = _scopes(table)
    node = statement.node
    if isinstance(node, FUNCTIONS):
        return Names(binds, uses, frozenset(_changed(ast.walk(node))) & uses | writes, frozenset())
    changes = frozenset(_changed(immediate(node))) | _receiver(node)
    return Names(binds, uses | writes, changes, _plain_call(node))


def _scopes(table: symtable.SymbolTable) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Names bound at module level, module names used anywhere, and those that functions assign (`global`)."""
    binds, uses, writes = set(), set(), set()
    for symbol in table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            binds.add(symbol.get_name())
        if symbol.is_referenced():
            uses.add(symbol.get_name())
    tables = list(table.get_children())
    while tables:
        inner = tables.pop()
        tables.extend(inner.get_children())
        for symbol in inner.get_symbols():
            if symbol.is_global():
                uses.add(symbol.get_name())
                if symbol.is_assigned():
                    writes.add(symbol.get_name())
    return frozenset(binds), frozenset(uses), frozenset(writes)


def immediate(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module-level statement runs: not the bodies of functions and lambdas."""
    waiting: list[ast.AST] = [node]
    while waiting:
        current = waiting.pop()
        yield current
        if isinstance(current, FUNCTIONS):
            waiting.extend([*current.decorator_list, *_signature(current)])
        elif isinstance(current, ast.Lambda):
            waiting.extend(_present([*current.args.defaults, *current.args.kw_defaults]))
        else:
            waiting.extend(ast.iter_child_nodes(current))


def definition_time_names(statements: Iterable[Statement]) -> frozenset[str]:
    """Names that must exist for the module to load or a function to be defined: signatures, bases."""
    found: set[str] = set()
    for statement in statements:
        nodes = list(immediate(statement.node))
        for function in ast.walk(statement.node):
            if isinstance(function, FUNCTIONS):
                nodes.extend(inner for part in _signature(function) for inner in ast.walk(part))
        found.update(node.id for node in nodes if isinstance(node, ast.Name))
    return frozenset(found)


def _signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.AST]:
    arguments = function.args
    every = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    annotations = [argument.annotation for argument in every if argument is not None]
    return _present([*annotations, *arguments.defaults, *arguments.kw_defaults, function.returns])


def _present(nodes: Iterable[ast.AST | None]) -> list[ast.AST]:
    return [node for node in nodes if node is not None]


def _changed(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Roots of stores into items and attributes, and of calls to methods that are known to mutate."""
    for node in nodes:
        target: ast.expr | None = None
        if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
            target = node
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _MUTATORS
        ):
            target = node.func
        root = root_name(target)
        if root:
            yield root


def root_name(node: ast.expr | None) -> str:
    """`a` of `a.b[0].c` and of `a().b`, or "" where there is no plain name at the root."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _plain_call(node: ast.stmt) -> frozenset[str]:
    """`f` of a bare statement `f(…)`."""
    call = node.value if isinstance(node, ast.Expr) else None
    return frozenset([call.func.id] if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else [])


def _receiver(node: ast.stmt) -> frozenset[str]:
    """`x` of a bare statement `x.method(…)`: whatever the method, it is called for its effect."""
    call = node.value if isinstance(node, ast.Expr) else None
    root = root_name(call.func) if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else ""
    return frozenset([root] if root else [])


def calls_function(node: ast.stmt, name: str) -> bool:
    """True where running this statement calls the function: an example, a test, a demonstration."""
    return any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == name
        for inner in immediate(node)
    )


def configures_module(node: ast.stmt) -> bool:
    """True for `sys.setrecursionlimit(…)`, `random.seed(…)`: calls on a module that later code relies on."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return not isinstance(node, ast.Expr)
    return call.func.attr.startswith(_CONFIGURING)


def folded(text: str) -> str:
    """The text as it is whoever spelt it: without underscores and case."""
    return text.replace("_", "").casefold()
