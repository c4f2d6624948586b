"""Records and Completions as lines of JSON: what is written is what is read, whatever a model wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.schema import SCHEMA_VERSION, Completion, Keys, Record
from pytest_llmeval.store.lines import whole_lines


@dataclass(frozen=True)
class Generation:
    """A Completion as it arrived, before anyone judged it; `asked` is what its key was made of besides the model."""

    model: str
    problem_set: str
    task_id: str
    index: int
    completion: Completion
    keys: Keys
    asked: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made on first use: collecting items needs no Records."""
    return TypeAdapter(kind)


def document(value: Any) -> str:
    """An indented JSON document; dataclasses, paths and lone surrogates in it are converted.

    Raises:
        ValueError: a number in it is not finite, which no measurement is.
    """
    return json.dumps(_adapter(Any).dump_python(value, mode="json"), indent=2, allow_nan=False) + "\n"


def encode(value: Record | Generation) -> bytes:
    """One line. ASCII, so that lone surrogates of a model's answer survive.

    Raises:
        ValueError: a number in it is not finite, which no measurement is.
    """
    kind: Any = type(value)
    raw = _adapter(kind).dump_python(value, mode="json")
    return json.dumps(raw, allow_nan=False).encode("ascii") + b"\n"


def decode(line: bytes) -> Record:
    """The Record in one line.

    Raises:
        ValueError: the line is not a Record of a schema this version reads.
    """
    record: Record = _decode(line, Record)
    return record


def _decode(line: bytes, kind: type) -> Any:
    raw = json.loads(line)
    if isinstance(raw, dict) and raw.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema_version {raw.get('schema_version')!r}; this version reads {SCHEMA_VERSION}")
    return _adapter(kind).validate_python(raw)


def read_records(path: Path) -> Iterator[Record]:
    """Every whole Record of a results.jsonl; a last line without its newline was cut short and is left out.

    Raises:
        LLMEvalError: a whole line is not a Record.
    """
    return _read(path, Record)


def read_generations(path: Path) -> Iterator[Generation]:
    """Every whole line of a generations.jsonl, in the order of arriving.

    Raises:
        LLMEvalError: a whole line is no Generation.
    """
    return _read(path, Generation)


def _read(path: Path, kind: type) -> Iterator[Any]:
    for number, line in whole_lines(path):
        try:
            yield _decode(line, kind)
        except (ValueError, ValidationError) as error:
            raise LLMEvalError(f"{path}, line {number} is not a {kind.__name__}: {error}") from error
