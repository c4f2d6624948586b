"""Records and Completions as lines of JSON: what is written is what is read, whatever a model wrote."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.schema import SCHEMA_VERSION, Completion, Keys, Record
from pytest_llmeval.store.lines import whole_lines
from pytest_llmeval.store.packed import SUFFIX, frames, opened, read_frame

_ENCODER = json.JSONEncoder(allow_nan=False)


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
    text = io.StringIO()
    write_document(value, text)
    return text.getvalue()


def write_document(value: Any, file: IO[str]) -> None:
    """`document` into a file, piece by piece.

    Raises:
        ValueError: a number in it is not finite; the file holds a part then.
    """
    json.dump(_adapter(Any).dump_python(value, mode="json"), file, indent=2, allow_nan=False)
    file.write("\n")


def read_document(path: Path, kind: Any) -> Any:
    """A document that a run wrote in one go, as `kind`.

    Raises:
        LLMEvalError: something else is in the file, as where it was copied in part.
    """
    try:
        # Not `validate_json`: a model's answer may hold a lone surrogate, which only json.loads takes.
        return _adapter(kind).validate_python(json.loads(path.read_bytes()))
    except ValueError as error:
        said = " ".join(str(error).split())
        raise LLMEvalError(f"{path} is damaged ({said}): copy the run once more, or leave it out") from error


def encode(value: Record | Generation) -> bytes:
    """One line. ASCII, so that lone surrogates of a model's answer survive.

    A Record's samples are encoded one by one: a thousand of them as Python's dicts take several times the room.

    Raises:
        ValueError: a number in it is not finite, which no measurement is.
    """
    return b"".join(_pieces(value)) if isinstance(value, Record) else _line(value) + b"\n"


def _pieces(record: Record) -> Iterator[bytes]:
    separator = b"{"
    for field in fields(record):
        yield separator + f'"{field.name}": '.encode("ascii")
        value = getattr(record, field.name)
        if isinstance(value, tuple):
            yield b"["
            for index, one in enumerate(value):
                yield b", " + _line(one) if index else _line(one)
            yield b"]"
        else:
            yield _line(value)
        separator = b", "
    yield b"}\n"


def _line(value: Any) -> bytes:
    kind: Any = type(value)
    return _ENCODER.encode(_adapter(kind).dump_python(value, mode="json")).encode("ascii")


def decode(line: bytes) -> Record:
    """The Record in one line.

    Raises:
        ValueError: the line is not a Record of a schema this version reads.
    """
    record: Record = _decode(line, Record)
    return record


# How every line of ours ends: the version is the last field. Such a line is parsed and checked in one go.
_OURS = f'"schema_version": {SCHEMA_VERSION}}}'.encode()


def _decode(line: bytes, kind: type) -> Any:
    if line.rstrip().endswith(_OURS):
        # What is refused here is no Record, or holds a lone surrogate, which only json.loads takes.
        with contextlib.suppress(ValidationError):
            return _adapter(kind).validate_json(line)
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
    with opened(path) as lines:
        for number, line in whole_lines(lines):
            yield _checked(line, path, number, kind)


def read_with_places(path: Path) -> Iterator[tuple[int, Record]]:
    """Every whole Record of a results file, packed or not, and where in it the Record begins.

    Raises:
        LLMEvalError: a whole line is not a Record.
    """
    if path.suffix == SUFFIX:
        for number, (start, line, _) in enumerate(frames(path), 1):
            yield start, _checked(line, path, number, Record)
        return
    start = 0
    with path.open("rb") as lines:
        for number, line in whole_lines(lines):
            yield start, _checked(line, path, number, Record)
            start += len(line)


def read_record(path: Path, place: int) -> Record:
    """The Record that begins at a place of a results file."""
    if path.suffix == SUFFIX:
        return decode(read_frame(path, place))
    with path.open("rb") as file:
        file.seek(place)
        return decode(file.readline())


def _checked(line: bytes, path: Path, number: int, kind: type) -> Any:
    try:
        return _decode(line, kind)
    except (ValueError, ValidationError) as error:
        raise LLMEvalError(f"{path}, line {number} is not a {kind.__name__}: {error}") from error
