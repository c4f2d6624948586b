"""A run's directory: Completions as they arrive, Records as they finish, predictions for people, the manifest.

Everything a report shows can be rebuilt from here; a line cut short by a crash is neither read nor built upon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pytest_llmeval.schema import PassRule, Record, RecordId
from pytest_llmeval.store.folders import (
    LATEST,
    MANIFEST,
    RUNS,
    create_run_folder,
    file_name,
    find_run,
    homes,
    point_latest,
    prediction_path,
)
from pytest_llmeval.store.lines import Lines, explained, whole_lines
from pytest_llmeval.store.packed import SUFFIX, PackedLines, located, opened, pack
from pytest_llmeval.store.records import (
    Generation,
    decode,
    document,
    encode,
    read_document,
    read_generations,
    read_record,
    read_records,
    read_with_places,
    write_document,
)

__all__ = [
    "GENERATIONS", "LATEST", "MANIFEST", "RESULTS", "RUNS", "SUMMARY", "Generation", "Predictions", "RunStore",
    "create_run_folder", "decode", "document", "encode", "file_name", "find_run", "homes", "located",
    "point_latest", "prediction_path", "read_document", "read_generations", "read_record", "read_records",
    "read_with_places",
]  # fmt: skip

GENERATIONS = "generations.jsonl"
RESULTS = "results.jsonl"
SUMMARY = "summary.json"
Predictions = Literal["all", "failed", "none"]


class RunStore:
    """Writes one run. `keep` and `append` may be called from any thread; what they took is on disk then."""

    def __init__(
        self,
        folder: Path,
        predictions: Predictions = "all",
        rule: PassRule = PassRule.ANY,
        packed: bool = False,
    ) -> None:
        """`predictions`: of which Records, passed by `rule`, people find a file; `packed`: results.jsonl is a .zst.

        Raises:
            LLMEvalError: the folder cannot be written.
            MissingExtraError: what packs is not installed.
        """
        self.folder = folder
        self._predictions, self._rule, self._packed = predictions, rule, packed
        self._offsets: dict[RecordId, int] = {}
        self._results = PackedLines(folder / f"{RESULTS}{SUFFIX}") if packed else Lines(folder / RESULTS)
        self._generations = Lines(folder / GENERATIONS)

    @property
    def results_path(self) -> Path:
        return self._results.path

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
        if self._predictions == "all" or (self._predictions == "failed" and not record.passes(self._rule)):
            with explained(self.folder):
                self._write_prediction(record)

    def copy_generations(self, path: Path) -> None:
        """Append another file's Completions to generations.jsonl.

        Raises:
            LLMEvalError: they cannot be read, or not be written here.
        """
        with opened(path) as lines:
            for _, line in whole_lines(lines):
                self._generations.append(line)

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

    def close(self) -> None:
        """Close the files; a packed run's Completions, which were written plain to be safe, are packed now.

        Raises:
            LLMEvalError: the disk is full; they are kept as they are.
        """
        self._results.close()
        self._generations.close()
        if self._packed and self._generations.path.is_file():
            pack(self._generations.path)

    def _write_prediction(self, record: Record) -> None:
        path = prediction_path(self.folder, record.record_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="ascii") as file:
            write_document(record, file)
