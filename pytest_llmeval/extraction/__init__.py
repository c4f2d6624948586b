"""Answer text → Program: parsing only, nothing of the answer is ever executed."""

from __future__ import annotations

import ast
import re
import warnings

from pytest_llmeval.schema import Problem, Program, PromptStyle

__all__ = ["extract"]

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)
_TOP_LEVEL = re.compile(r"\n(?=[^\s#)\]}'\"])")


def extract(text: str, problem: Problem, style: PromptStyle) -> Program | None:
    """Make a complete Program from an answer, or None where the answer holds no code."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if style is PromptStyle.COMPLETION:
        return _continuation(text, problem)
    for piece in reversed(_FENCE.split(text)):
        if _defines(piece, problem.entry_point):
            return Program(_prompt_preamble(problem) + piece.strip() + "\n", rule="fence")
    return None


def _continuation(text: str, problem: Problem) -> Program | None:
    body = _TOP_LEVEL.split(text, maxsplit=1)[0]
    if not body.strip():
        return None
    return Program(f"{problem.prompt}{body.rstrip()}\n", rule="continuation")


def _prompt_preamble(problem: Problem) -> str:
    """What stands before the function in the prompt: imports and helpers that answers may leave out."""
    before, _, _ = problem.prompt.partition(f"def {problem.entry_point}(")
    return before


def _defines(source: str, name: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)
