"""MBPP names no entry point: it is the function that a task's assertions call."""

from __future__ import annotations

import ast


def entry_point_of(asserts: list[str], code: str) -> str:
    """The function of `code` that the assertions call, the first one to be called where there are several.

    Raises:
        ValueError: they call none, or one of the texts is not Python.
    """
    try:
        defined = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
        trees = [ast.parse(text.strip()) for text in asserts]
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"or code is not Python: {error}") from error
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
                return node.func.id
    raise ValueError(f"calls no function of the code, which defines: {', '.join(sorted(defined)) or 'none'}")
