"""`python -m pytest_llmeval fetch SET…`: brings problem sets from the hub, once, into the user's cache folder."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import LLMEvalError, MissingExtraError
from pytest_llmeval.problems import evalplus
from pytest_llmeval.problems.rows import Row
from pytest_llmeval.problems.sources import HUB, HubSource, fetched

FAMILIES = {"humanevalplus": evalplus.HUMANEVAL, "mbppplus": evalplus.MBPP}


def main(arguments: Sequence[str]) -> int:
    """Fetch the named sets.

    Raises:
        LLMEvalError: one cannot be had, or is not what it should be.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pytest_llmeval fetch", description="Fetch problem sets from the model hub."
    )
    parser.add_argument("sets", nargs="+", choices=list(HUB), metavar="SET", help=", ".join(HUB))
    for name in parser.parse_args(arguments).sets:
        path = fetch(name)
        sys.stdout.write(f"{name}: {HUB[name].problems} problems in {path}\n")
    return 0


def fetch(name: str) -> Path:
    """Bring one set here; returns the file it was written to.

    Raises:
        MissingExtraError: the package datasets is not installed.
        LLMEvalError: the hub cannot be reached, or its data is not what it should be.
    """
    source = HUB[name]
    rows = sorted(_download(name, source), key=_number)
    if len(rows) != source.problems:
        raise LLMEvalError(
            f"{name}: {source.repository} at {source.revision[:12]} has {len(rows)} problems, expected "
            f"{source.problems}: nothing was written"
        )
    path = fetched(name)
    _write(path, _lines(name, source, rows))
    return path


def _download(name: str, source: HubSource) -> list[dict[str, Any]]:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"fetching {name} needs the package datasets: pip install 'pytest-llmeval-bench[datasets]'"
        ) from error
    try:
        loaded = datasets.load_dataset(
            source.repository, source.config, split=source.split, revision=source.revision
        )
        return [dict(row) for row in loaded]
    except Exception as error:  # whatever the network and the hub's libraries raise
        raise LLMEvalError(
            f"{name}: {source.repository} cannot be fetched: {type(error).__name__}: {error}\n"
            f"Where the hub cannot be reached, bring a file here and name it: --llmeval-problems {name}=FILE"
        ) from error


def _number(row: dict[str, Any]) -> int:
    return int(str(row["task_id"]).rpartition("/")[2])


def _lines(name: str, source: HubSource, rows: Iterable[dict[str, Any]]) -> list[str]:
    """A line per problem; the tests of the EvalPlus sets are read now, which takes seconds."""
    texts = [Row(f"{source.repository}, {row['task_id']}", json.dumps(row)) for row in rows]
    if name in FAMILIES:
        return evalplus.as_lines(FAMILIES[name], texts)
    ordered = ({"task_id": fields["task_id"], **fields} for fields in (row.parsed() for row in texts))
    return [json.dumps(fields) for fields in ordered]


def _write(path: Path, lines: list[str]) -> None:
    """All or nothing: a run beside this one sees the old file or the new one."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        unfinished.replace(path)
    except OSError as error:
        raise LLMEvalError(f"{path} cannot be written: {error}") from error
