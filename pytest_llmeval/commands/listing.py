"""`python -m pytest_llmeval models`: the registry as a table, and what can run here."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_llmeval import devices
from pytest_llmeval.commands import registries
from pytest_llmeval.schema import ModelSpec

HEADINGS = ("model", "weights", "kind", "categories", "style", "here")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pytest_llmeval models", description=__doc__)
    parser.add_argument("--json", action="store_true", help="as JSON")
    registries.add_option(parser)
    options = parser.parse_args(arguments)
    rows = [row_of(spec) for spec in registries.read(options.registry, Path.cwd()).values()]
    if options.json:
        named = [dict(zip(HEADINGS, row, strict=True)) for row in rows]
        sys.stdout.write(json.dumps({"models": named}, indent=2) + "\n")
    else:
        sys.stdout.write(table([HEADINGS, *rows]))
    return 0


def row_of(spec: ModelSpec) -> tuple[str, ...]:
    return (
        spec.name,
        spec.model if not Path(spec.model).is_absolute() else Path(spec.model).name,
        spec.kind,
        ", ".join(spec.categories) or "-",
        spec.prompt_style.value,
        "; ".join(devices.lacks(spec)) or "can run",
    )


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows in columns as wide as their widest cell; the last one may run on."""
    every = list(rows)
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    padded = (
        "  ".join([*(c.ljust(w) for c, w in zip(row[:-1], widths[:-1], strict=True)), row[-1]])
        for row in every
    )
    return "".join(f"{line}\n" for line in padded)
