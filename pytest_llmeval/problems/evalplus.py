"""HumanEval+ and MBPP+ (Liu et al. 2023, arXiv:2305.01210): many more inputs, judged by EvalPlus's rules.

Three layouts are read: EvalPlus's own files (HumanEvalPlus.jsonl, MbppPlus.jsonl), the hub's, and the one that
`fetch` writes, in which the hub's tests are already read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.problems import LazyProblems, ProblemSet, plain
from pytest_llmeval.problems.entry_points import entry_point_of
from pytest_llmeval.problems.generated import Cases, checking_source
from pytest_llmeval.problems.hub_tests import cases_of
from pytest_llmeval.problems.rows import Fields, Row, each_once, read_rows
from pytest_llmeval.problems.shapes import shaped
from pytest_llmeval.problems.sources import locate
from pytest_llmeval.schema import Problem

HUMANEVAL = "HumanEval"
MBPP = "Mbpp"

# Where plain equality is not what EvalPlus asks, by entry point (evalplus/eval/__init__.py at 26d6d00).
RULES: dict[str, dict[str, str]] = {
    HUMANEVAL: {"find_zero": "root"},
    MBPP: {
        "are_equivalent": "any",
        "sum_div": "or_zero",
        "surface_Area": "surface",
        "digit_distance_nums": "digits",
        **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "not_none"),
        **dict.fromkeys(("similar_elements", "find_char_long", "common_in_nested_lists"), "set"),
        **dict.fromkeys(("extract_singly", "larg_nnum", "intersection_array"), "set"),
        **dict.fromkeys(("find_dissimilar", "Diff"), "set"),
    },
}
_ADDRESS = re.compile(r"https?://\S+")


def load_humanevalplus(file: Path | None = None) -> ProblemSet:
    """164 problems; see `locate` for what is raised where their data is missing."""
    return _load("humanevalplus", HUMANEVAL, file)


def load_mbppplus(file: Path | None = None) -> ProblemSet:
    """378 problems; see `locate` for what is raised where their data is missing."""
    return _load("mbppplus", MBPP, file)


def _load(name: str, family: str, file: Path | None) -> ProblemSet:
    rows = each_once(read_rows(locate(name, file)), lambda row: task_name(row.task_id, family))
    makers: dict[str, Callable[[], Problem]] = {
        task_id: partial(_problem, name, family, task_id, row) for task_id, row in rows.items()
    }
    return ProblemSet(name, LazyProblems(makers))


def task_name(task_id: str | int, family: str) -> str:
    """`2` and `Mbpp/2` are one task: the hub counts, EvalPlus names."""
    return f"{family}/{task_id}" if str(task_id).isdigit() else str(task_id)


def _problem(name: str, family: str, task_id: str, row: Row) -> Problem:
    layout = _read(family, task_id, row)
    entry_point, reference = layout["entry_point"], layout["prompt"] + layout["canonical_solution"]
    rule = RULES[family].get(entry_point, "equal")
    cases = Cases(layout["arguments"], rule, layout["atol"], layout["base_cases"], layout["expected"])
    return Problem(
        problem_set=name,
        task_id=task_id,
        prompt=layout["prompt"],
        entry_point=entry_point,
        test=checking_source(cases, entry_point, reference),
        canonical_solution=layout["canonical_solution"],
        opaque_answers=family == MBPP,
        measures="answers" if cases.expected is None else "times",
    )


def prepared(family: str, row: Row) -> dict[str, Any]:
    """A row as `fetch` writes it: read once, so that later runs need not."""
    task_id = task_name(row.task_id, family)
    return {"task_id": task_id, **_read(family, task_id, row)}


def _read(family: str, task_id: str, row: Row) -> dict[str, Any]:
    """prompt, entry_point, canonical_solution, atol, base_cases, and texts: arguments, expected (or None).

    Raises:
        ConfigurationError: names every field that is wrong.
    """
    fields = Fields(row.parsed(), row.where)
    if "arguments" in fields.values:
        found = _prepared_layout(fields)
    elif "base_input" in fields.values:
        found = _evalplus_layout(fields, task_id)
    else:
        found = _hub_layout(fields, family)
    if fields.mistakes:
        raise ConfigurationError("\n".join(fields.mistakes))
    return found


def _prepared_layout(fields: Fields) -> dict[str, Any]:
    expected = fields.values.get("expected")
    return {
        **{name: fields.text(name) for name in ("prompt", "entry_point", "canonical_solution", "arguments")},
        "atol": fields.number("atol", 0),
        "base_cases": int(fields.number("base_cases", 0)),
        "expected": None if expected is None else fields.text("expected"),
    }


def _evalplus_layout(fields: Fields, task_id: str) -> dict[str, Any]:
    base, plus = fields.arguments("base_input"), fields.arguments("plus_input", [])
    texts = {name: fields.text(name) for name in ("prompt", "entry_point", "canonical_solution")}
    try:
        arguments = plain.dumps(shaped(task_id, [*base, *plus]))
    except (TypeError, ValueError, IndexError, AttributeError, plain.Unplain) as error:
        fields.wrong(
            "base_input or plus_input", f"does not have the shape that {task_id} is known by: {error}"
        )
        arguments = "[]"
    atol = fields.number("atol", 0)
    return {**texts, "arguments": arguments, "atol": atol, "base_cases": len(base), "expected": None}


def _hub_layout(fields: Fields, family: str) -> dict[str, Any]:
    named = _hub_humaneval(fields) if family == HUMANEVAL else _hub_mbpp(fields)
    test = fields.text("test")
    arguments: list[list[Any]] = []
    results: list[Any] | None = None
    atol = 0.0
    try:
        if test:
            arguments, results, atol = cases_of(test)
    except ValueError as error:
        fields.wrong("test", str(error))
    return {
        **named,
        "arguments": plain.dumps(arguments),
        "atol": atol,
        "base_cases": 0,
        "expected": None if results is None else plain.dumps(results),
    }


def _hub_humaneval(fields: Fields) -> dict[str, Any]:
    return {name: fields.text(name) for name in ("prompt", "entry_point", "canonical_solution")}


def _hub_mbpp(fields: Fields) -> dict[str, Any]:
    """The prompt as EvalPlus words it: the task and its first assertion, in a docstring."""
    code, asserts, prompt = fields.text("code"), fields.texts("test_list"), fields.text("prompt")
    try:
        entry_point = entry_point_of(asserts, code)
    except ValueError as error:
        fields.wrong("test_list", str(error))
        entry_point = ""
    worded = docstring(_ADDRESS.sub("", prompt), asserts[:1])
    return {"prompt": worded, "entry_point": entry_point, "canonical_solution": code}


def docstring(task: str, asserts: list[str]) -> str:
    """MBPP's prompt for a model: the task in words and assertions that the answer must hold."""
    lines = "\n".join([task, *asserts])
    return f'"""\n{lines}\n"""\n'


def as_lines(family: str, rows: list[Row]) -> list[str]:
    """Rows as `fetch` keeps them, a JSON text each."""
    return [json.dumps(prepared(family, row)) for row in rows]
