"""A run's directory: Completions as they arrive, Records as they finish, predictions for people, the manifest.

Everything a report shows can be rebuilt from here; a line cut short by a crash is neither read nor built upon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_llmeval.schema import Record, RecordId
from pytest_llmeval.store.folders import (
    LATEST,
    MANIFEST,
    create_run_folder,
    file_name,
    find_run,
    point_latest,
)
from pytest_llmeval.store.lines import Lines, explained
from pytest_llmeval.store.records import (
    Generation,
    decode,
    document,
    encode,
    read_generations,
    read_records,
)

__all__ = [
    "GENERATIONS", "LATEST", "MANIFEST", "RESULTS", "SUMMARY", "Generation", "RunStore", "create_run_folder",
    "decode", "document", "encode", "file_name", "find_run", "point_latest", "read_generations", "read_records",
]  # fmt: skip

GENERATIONS = "generations.jsonl"
RESULTS = "results.jsonl"
SUMMARY = "summary.json"


class RunStore:
    """Writes one run. `keep` and `append` may be called from any thread; what they took is on disk then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._offsets: dict[RecordId, int] = {}
        self._results = Lines(folder / RESULTS)
        self._generations = Lines(folder / GENERATIONS)

    @property
    def results_path(self) -> Path:
        return self.folder / RESULTS

    def keep(self, generation: Generation) -> None:
        """Append a Completion that has just arrived to generations.jsonl.

        Raises:
            LLMEvalError: the disk is full or the folder is gone; what was written before stays readable.
        """
        self._generations.append(encode(generation))

    def append(self, record: Record) -> None:
        """Append a whole Record to results.jsonl; write the prediction file.

        Raises:
            LLMEvalError: the disk is full or the folder is gone; Records written before stay readable.
        """
        self._offsets[record.record_id] = self._results.append(encode(record))
        with explained(self.folder):
            self._write_prediction(record)

    def get(self, name: RecordId) -> Record | None:
        """The Record of that name, read back from disk; None where it is not finished."""
        offset = self._offsets.get(name)
        return None if offset is None else decode(self._results.read_at(offset))

    def records(self) -> Iterator[Record]:
        """Every finished Record, in the order of finishing."""
        return read_records(self.results_path)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON document whole or not at all; dataclasses and paths in it are converted."""
        path = self.folder / name
        partial = path.with_suffix(".partial")
        with explained(path):
            try:
                partial.write_text(document(value), encoding="ascii")
                partial.replace(path)
            except OSError:
                partial.unlink(missing_ok=True)
                raise

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
        self._generations.close()

    def _write_prediction(self, record: Record) -> None:
        path = self.prediction_path(record.record_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document(record), encoding="ascii")
