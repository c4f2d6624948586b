"""A user's own problems: JSON lines with HumanEval's fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.problems import ProblemSet
from pytest_llmeval.problems.rows import Fields, Row, each_once, read_rows
from pytest_llmeval.schema import Channel, Problem

MISTAKES_SHOWN = 20
_CHANNELS = {channel.value: channel for channel in Channel}


def load(file: Path, name: str) -> ProblemSet:
    """Every problem of a file.

    Raises:
        ConfigurationError: it holds mistakes; each is named with its line and field.
    """
    rows = read_rows(file)
    if not rows:
        raise ConfigurationError(f"{file} holds no problem")
    mistakes: list[str] = []
    problems = [problem for row in rows if (problem := _read(name, row, mistakes))]
    if not mistakes:
        try:
            each_once(rows, lambda row: str(row.task_id))
        except ConfigurationError as error:
            mistakes.append(str(error))
    if mistakes:
        more = len(mistakes) - MISTAKES_SHOWN
        shown = mistakes[:MISTAKES_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise ConfigurationError("\n".join(shown))
    return ProblemSet(name, tuple(problems))


def _read(name: str, row: Row, mistakes: list[str]) -> Problem | None:
    try:
        fields = Fields(row.parsed(), row.where)
        task_id = str(row.task_id)
    except ConfigurationError as error:
        mistakes.append(str(error))
        return None
    channel = fields.text("channel", Channel.SPLIT.value)
    if channel not in _CHANNELS:
        fields.wrong("channel", f"must be one of {', '.join(_CHANNELS)}, found {channel!r}")
    problem = Problem(
        problem_set=name,
        task_id=task_id,
        prompt=fields.text("prompt"),
        entry_point=fields.text("entry_point"),
        test=fields.text("test"),
        canonical_solution=fields.text("canonical_solution", ""),
        channel=_CHANNELS.get(channel, Channel.SPLIT),
        mutates_arguments=fields.flag("mutates_arguments"),
        opaque_answers=fields.flag("opaque_answers"),
    )
    if not fields.mistakes:
        for field, why in _flaws(problem):
            fields.wrong(field, why)
    mistakes += fields.mistakes
    return problem


def _flaws(problem: Problem) -> Iterator[tuple[str, str]]:
    """What would make every answer fail, seen before a model is asked."""
    if not problem.entry_point.isidentifier():
        yield "entry_point", f"must be the name of a function, found {problem.entry_point!r}"
    if flaw := _syntax(problem.test):
        yield "test", f"is not Python: {flaw}"
    elif not re.search(r"^\s*(def check\(|check\s*=|from .* import .*\bcheck\b)", problem.test, re.MULTILINE):
        yield "test", "must define check(candidate)"
    if problem.canonical_solution and (flaw := _syntax(problem.prompt + problem.canonical_solution)):
        yield "canonical_solution", f"is not Python after its prompt: {flaw}"


def _syntax(source: str) -> str:
    try:
        compile(source, "<problem>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return str(error)
    return ""
