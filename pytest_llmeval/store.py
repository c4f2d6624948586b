"""A run's directory: Records appended as they finish, predictions for people, the manifest.

Everything a report shows can be rebuilt from here; a line cut short by a crash is not a Record.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.schema import SCHEMA_VERSION, Record, RecordId

RESULTS = "results.jsonl"
MANIFEST = "manifest.json"
SUMMARY = "summary.json"
LATEST = "latest"


@cache
def _adapter() -> TypeAdapter[Record]:
    """Made on first use: collecting items needs no Records."""
    return TypeAdapter(Record)


class RunStore:
    """Writes one run. `append` may be called from any thread; a Record is on disk when it returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._offsets: dict[RecordId, int] = {}
        self._results = _open_results(folder)

    @property
    def results_path(self) -> Path:
        return self.folder / RESULTS

    def append(self, record: Record) -> None:
        """Append to results.jsonl and flush; write the prediction file.

        Raises:
            LLMEvalError: the disk is full or the folder is gone; Records written before stay readable.
        """
        line = encode(record)
        with self._lock, _explained(self.results_path):
            offset = self._results.tell()
            self._results.write(line)
            self._results.flush()
            self._offsets[record.record_id] = offset
        with _explained(self.folder):
            self._write_prediction(record)

    def get(self, name: RecordId) -> Record | None:
        """The Record of that name, read back from disk; None where it is not finished."""
        offset = self._offsets.get(name)
        if offset is None:
            return None
        with self.results_path.open("rb") as file:
            file.seek(offset)
            return decode(file.readline())

    def records(self) -> Iterator[Record]:
        """Every finished Record, in the order of finishing."""
        return read_records(self.results_path)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON document whole or not at all; dataclasses and paths in it are converted."""
        path = self.folder / name
        partial = path.with_suffix(".partial")
        with _explained(path):
            document = json.dumps(to_jsonable_python(value), indent=2, allow_nan=False)
            partial.write_text(f"{document}\n", encoding="ascii")
            partial.replace(path)

    def log_path(self, model: str) -> Path:
        """Where the engine of `model` writes its log."""
        path = self.folder / "engine" / f"{file_name(model)}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def prediction_path(self, name: RecordId) -> Path:
        """predictions/<model>/<problem set>/<task>.json: everything about one item, for people."""
        folder = self.folder / "predictions" / file_name(name.model) / file_name(name.problem_set)
        return folder / f"{file_name(name.task_id)}.json"

    def close(self) -> None:
        self._results.close()

    def _write_prediction(self, record: Record) -> None:
        path = self.prediction_path(record.record_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(to_json(record), indent=2, allow_nan=False) + "\n", encoding="ascii")


def _open_results(folder: Path) -> Any:
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / RESULTS).open("ab")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LLMEvalError(
            f"{path} cannot be written: {error.strerror or error}. Records written before are kept; free "
            f"space or choose another folder with --llmeval-reports"
        ) from error


def to_json(record: Record) -> Any:
    return _adapter().dump_python(record, mode="json")


def encode(record: Record) -> bytes:
    """One line of results.jsonl. ASCII, so that lone surrogates of a model's answer survive."""
    return json.dumps(to_json(record), allow_nan=False).encode("ascii") + b"\n"


def decode(line: bytes) -> Record:
    """The Record in one line.

    Raises:
        ValueError: the line is not a Record of a schema this version reads.
    """
    raw = json.loads(line)
    if isinstance(raw, dict) and raw.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema_version {raw.get('schema_version')!r}; this version reads {SCHEMA_VERSION}")
    return _adapter().validate_python(raw)


def read_records(path: Path) -> Iterator[Record]:
    """Every whole Record of a results.jsonl; a last line without its newline was cut short and is left out.

    Raises:
        LLMEvalError: a whole line is not a Record.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decode(line)
            except (ValueError, ValidationError) as error:
                raise LLMEvalError(f"{path}, line {number} is not a Record: {error}") from error


def file_name(name: str) -> str:
    """A name as one path component: percent-encoded, so that `HumanEval/0` and `..` stay in their folder."""
    encoded = quote(name, safe="")
    return encoded.replace(".", "%2E") if set(encoded) <= {"."} else encoded


def create_run_folder(reports: Path, run_id: str) -> Path:
    """A new folder reports/<run id>[-N]; runs that start in the same second do not share one.

    Raises:
        LLMEvalError: the folder cannot be made.
    """
    with _explained(reports):
        reports.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
            with contextlib.suppress(FileExistsError):
                folder = reports / f"{run_id}{suffix}"
                folder.mkdir()
                return folder
    raise LLMEvalError(f"{reports} already holds a thousand runs named {run_id}")


def point_latest(folder: Path) -> None:
    """Let reports/latest lead to `folder`; where links are not to be had, nothing points anywhere."""
    link = folder.parent / LATEST
    temporary = folder.parent / f".{LATEST}-{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(folder.name, target_is_directory=True)
        temporary.replace(link)
