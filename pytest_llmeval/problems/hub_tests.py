"""Tests as evalplus/humanevalplus and evalplus/mbppplus have them on the hub: their cases, read as data.

Their `test` is a program that imports numpy and compares more loosely than EvalPlus itself, so it is never run:
`inputs`, `results` and the tolerance are literals in it.
"""

from __future__ import annotations

import ast
import math
from typing import Any

_NUMBERS = {"inf": math.inf, "nan": math.nan}


class _Literals(ast.NodeTransformer):
    """Makes literals of what `repr` wrote as names and calls: inf, nan, Counter({…})."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(_NUMBERS[node.id]) if node.id in _NUMBERS else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        counted = isinstance(node.func, ast.Name) and node.func.id in {"Counter", "deque"} and node.args
        return node.args[0] if counted else node


def cases_of(test: str) -> tuple[list[list[Any]], list[Any] | None, float]:
    """Argument lists, right answers (None where the test computes them), and the absolute tolerance.

    Raises:
        ValueError: the test has another form.
    """
    try:
        tree = ast.parse(test)
    except (SyntaxError, RecursionError) as error:
        raise ValueError(f"is not Python: {error}") from error
    assigned = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    if "inputs" not in assigned or not loops:
        raise ValueError("has no list `inputs` and no loop over it")
    results = _value(assigned["results"]) if "results" in assigned else None
    inputs = [list(arguments) for arguments in _value(assigned["inputs"])]
    if results is not None and len(results) != len(inputs):
        raise ValueError(f"has {len(inputs)} inputs and {len(results)} results")
    return inputs, results, _tolerance(loops[-1])


def _value(node: ast.AST) -> Any:
    try:
        return ast.literal_eval(_Literals().visit(node))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"holds more than literals: {error}") from error


def _tolerance(loop: ast.For) -> float:
    """The last number of the loop: `assertion(candidate(*inp), exp, 0)`, `assert … <= 0.0001`."""
    numbers = [
        node.value
        for statement in loop.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    ]
    return float(numbers[-1]) if numbers else 0.0
