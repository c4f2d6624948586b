"""samples.jsonl: answers that someone has already generated, in human-eval's, EvalPlus's or raw form."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.schema import AnswerForm, ModelSpec, Needs, Outcome, PromptStyle, Record, Verdict

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


def by_task(rows: Iterable[SampleRow]) -> dict[str, list[SampleRow]]:
    """Rows of each task, in file order: the n-th row of a task is its sample n."""
    grouped: dict[str, list[SampleRow]] = {}
    for row in rows:
        grouped.setdefault(row.task_id, []).append(row)
    return grouped


def model_of(path: Path, rows: Iterable[SampleRow], categories: tuple[str, ...]) -> ModelSpec:
    """The registry entry that a file of samples stands for: a replayed model in every category."""
    chat = any(row.form is AnswerForm.ANSWER for row in rows)
    return ModelSpec(
        name="samples",
        model=str(path),
        kind="replay",
        categories=categories,
        prompt_style=PromptStyle.CHAT if chat else PromptStyle.COMPLETION,
        needs=Needs(device="any", hub=False),
        description=f"samples from {path.name}",
    )


def write_results(source: Path, records: Iterable[Record], target: Path) -> None:
    """Write human-eval's result format: each judged input row with `result` and `passed`, in input order."""
    judged = {record.task_id: record for record in records}
    seen: dict[str, int] = {}
    with target.open("w", encoding="ascii") as out:
        for _, raw in _raw_rows(source):
            index = seen[raw["task_id"]] = seen.get(raw["task_id"], -1) + 1
            record = judged.get(raw["task_id"])
            if record is not None:
                verdict = record.samples[index].verdict
                result = {**raw, "result": human_eval_result(verdict), "passed": verdict.passed}
                out.write(json.dumps(result) + "\n")


def human_eval_result(verdict: Verdict) -> str:
    """The word human-eval has for a verdict: `passed`, `timed out` or `failed: …`."""
    if verdict.passed:
        return "passed"
    if verdict.outcome is Outcome.TIMEOUT:
        return "timed out"
    return f"failed: {verdict.detail or verdict.outcome}"


def _raw_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _parsed(line, f"{path}, line {number}")
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"--llmeval-samples: {path} cannot be read: {error}") from error


def _opened(path: Path) -> AbstractContextManager[Iterable[bytes]]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except ValueError as error:
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
