"""MBPP, sanitized (Austin et al. 2021, arXiv:2108.07732): 427 problems, judged by their own assertions."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.problems import LazyProblems, ProblemSet
from pytest_llmeval.problems.entry_points import entry_point_of
from pytest_llmeval.problems.evalplus import MBPP, docstring, task_name
from pytest_llmeval.problems.rows import Fields, Row, each_once, read_rows
from pytest_llmeval.problems.sources import locate
from pytest_llmeval.schema import Problem

NAME = "mbpp"

CALL_S = 10.0  # one of the canonical solutions needs a second on an idle machine

# Assertions call the function by its name, which may be `check`, or that of something a helper imports.
TEST = """\
_under_test = {entry_point}
{imports}


def check(candidate):
    {entry_point} = _under_test
{asserts}
"""


def load(file: Path | None = None) -> ProblemSet:
    """All splits in the order of their numbers; see `locate` for what is raised where they are missing."""
    rows = each_once(read_rows(locate(NAME, file)), lambda row: task_name(row.task_id, MBPP))
    return ProblemSet(
        NAME, LazyProblems({task_id: partial(_problem, task_id, row) for task_id, row in rows.items()})
    )


def _problem(task_id: str, row: Row) -> Problem:
    """Raises ConfigurationError, which names every field that is wrong."""
    fields = Fields(row.parsed(), row.where)
    code, asserts, imports = fields.text("code"), fields.texts("test_list"), fields.texts("test_imports", [])
    task = fields.text("prompt" if "prompt" in fields.values else "text")
    entry_point = ""
    if not fields.mistakes:
        try:
            entry_point = entry_point_of(asserts, code)
        except ValueError as error:
            fields.wrong("test_list", str(error))
    if fields.mistakes:
        raise ConfigurationError("\n".join(fields.mistakes))
    return Problem(
        problem_set=NAME,
        task_id=task_id,
        prompt=docstring(task, asserts),
        entry_point=entry_point,
        test=_test(entry_point, [*imports, *_imports_of(code)], asserts),
        canonical_solution=code,
        opaque_answers=True,
        call_s=CALL_S,
        wall_s=CALL_S * len(asserts),
    )


def _imports_of(code: str) -> list[str]:
    """What the code imports: published assertions stand behind it, and one of them needs its `sys`."""
    return [
        ast.unparse(node) for node in ast.parse(code).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def _test(entry_point: str, imports: list[str], asserts: list[str]) -> str:
    body = "\n".join(f"    {line}" for text in asserts for line in text.strip().splitlines())
    return TEST.format(entry_point=entry_point, imports="\n".join(imports), asserts=body)
