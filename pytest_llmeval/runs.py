"""A run read back from its folder: every report is made of this, also the one a run makes of itself.

from pytest_llmeval.runs import load_run

run = load_run("reports/latest")
for model in run.models:
    print(model.spec.name, model.status, model.summary.pass_at_1)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pytest_llmeval.engines import EngineInfo
from pytest_llmeval.errors import ConfigurationError, LLMEvalError, MissingExtraError
from pytest_llmeval.results import ModelFacts, ModelResult, SummaryDocument, result_of, summary_document
from pytest_llmeval.schema import Completion, ModelSpec, PassRule, Record, RecordId, Sample
from pytest_llmeval.store import MANIFEST, RESULTS, decode, file_name
from pytest_llmeval.telemetry.watch import ModelTelemetry


@dataclass(frozen=True)
class LoadedRun:
    """One run. `records` holds every Record without its long texts; `whole` reads one in full.

    `models` are the lines of the leaderboard, in the order of the plan.
    """

    folder: Path
    manifest: Mapping[str, Any]
    models: tuple[ModelResult, ...]
    records: Mapping[RecordId, Record]
    probes: Mapping[str, Sequence[Completion]]
    telemetry: Mapping[str, ModelTelemetry]
    offsets: Mapping[RecordId, int]

    @property
    def run_id(self) -> str:
        return str(self.manifest["run_id"])

    @property
    def started_at(self) -> datetime:
        return datetime.fromisoformat(self.manifest["started_at"])

    @property
    def seconds(self) -> float | None:
        """From start to end; None where the run did not come to its end."""
        if ended := self.manifest.get("ended_at"):
            return (datetime.fromisoformat(ended) - self.started_at).total_seconds()
        return None

    @property
    def rule(self) -> PassRule:
        """When an item passes."""
        return PassRule(self.manifest.get("item_passes", PassRule.ANY))

    @property
    def samples(self) -> int:
        """How many samples the run has in all."""
        return sum(record.n for record in self.records.values())

    @property
    def summary(self) -> SummaryDocument:
        """What summary.json holds."""
        return summary_document(self.run_id, self.rule, self.models)

    @cached_property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """(problem set, task id) of every problem with a Record, in natural order."""
        return tuple(sorted({(name.problem_set, name.task_id) for name in self.records}, key=_natural))

    def of(self, model: str) -> Iterator[Record]:
        """A model's Records, without their texts."""
        return (record for record in self.records.values() if record.model == model)

    def whole(self, name: RecordId) -> Record:
        """One Record with everything in it, read from disk."""
        with (self.folder / RESULTS).open("rb") as file:
            file.seek(self.offsets[name])
            return decode(file.readline())

    def prediction(self, name: RecordId) -> Path:
        """The file that holds one Record for people."""
        folder = self.folder / "predictions" / file_name(name.model) / file_name(name.problem_set)
        return folder / f"{file_name(name.task_id)}.json"

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat row per sample: names, outcome, tokens and seconds."""
        for record in self.records.values():
            for sample in record.samples:
                yield _row(record, sample)

    def to_frame(self) -> Any:
        """The rows as a pandas DataFrame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingExtraError("to_frame() needs pandas: pip install pandas") from error
        return pandas.DataFrame(list(self.rows()))


def load_run(path: str | Path) -> LoadedRun:
    """Read a run's folder (reports/latest is one); no model and no device is needed.

    Raises:
        ConfigurationError: the folder holds no run, or one of another schema.
    """
    folder = Path(path).resolve()
    manifest = _manifest(folder)
    records: dict[RecordId, Record] = {}
    offsets: dict[RecordId, int] = {}
    for offset, record in _read(folder / RESULTS):
        records[record.record_id], offsets[record.record_id] = _without_texts(record), offset
    specs = {name: _spec(table) for name, table in manifest["models"].items()}
    probes = {name: _probe(folder, name) for name in specs}
    models = tuple(_result(manifest, spec, records.values(), probes[name]) for name, spec in specs.items())
    return LoadedRun(folder, manifest, models, records, probes, _telemetry(folder, specs), offsets)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{folder} is no run's folder: {MANIFEST} cannot be read ({error}). A run is a folder under "
            "reports/, e.g. reports/latest"
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("models"), dict):
        raise ConfigurationError(f"{folder / MANIFEST} names no models: it is not a run's manifest")
    return manifest


def _read(path: Path) -> Iterator[tuple[int, Record]]:
    """Every whole Record and where its line begins; a line cut short by a crash is left out."""
    if not path.exists():
        return
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.endswith(b"\n"):
                yield offset, _decoded(line, path, number)
            offset += len(line)


def _decoded(line: bytes, path: Path, number: int) -> Record:
    try:
        return decode(line)
    except (ValueError, ValidationError) as error:
        raise LLMEvalError(f"{path}, line {number} is not a Record: {error}") from error


def _without_texts(record: Record) -> Record:
    """What figures are made of: hundreds of thousands of samples fit into memory that way."""
    return replace(record, samples=tuple(map(_slim, record.samples)))


def _slim(sample: Sample) -> Sample:
    program = sample.program and replace(sample.program, source="")
    verdict = replace(sample.verdict, output="")
    return replace(
        sample, completion=replace(sample.completion, text="", windows=()), program=program, verdict=verdict
    )


def _spec(table: Mapping[str, Any]) -> ModelSpec:
    """A manifest names a model's environment variables without their values."""
    environment = dict.fromkeys(table.get("environment", ()), "")
    return TypeAdapter(ModelSpec).validate_python({**table, "environment": environment})


def _probe(folder: Path, model: str) -> Sequence[Completion]:
    path = folder / "engine" / f"{file_name(model)}.probe.json"
    if not path.exists():
        return ()
    return TypeAdapter(list[Completion]).validate_python(json.loads(path.read_text())["completions"])


def _telemetry(folder: Path, models: Iterable[str]) -> dict[str, ModelTelemetry]:
    paths = {name: folder / "telemetry" / f"{file_name(name)}.json" for name in models}
    adapter = TypeAdapter(ModelTelemetry)
    found = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    return {name: adapter.validate_python(document["telemetry"]) for name, document in found.items()}


def _result(
    manifest: Mapping[str, Any], spec: ModelSpec, records: Iterable[Record], probe: Sequence[Completion]
) -> ModelResult:
    name = spec.name
    info = TypeAdapter(EngineInfo).validate_python(manifest.get("engines", {}).get(name, {}))
    notes = tuple(manifest.get("engines_fared", {}).get(name, {}).get("notes", ()))
    facts = ModelFacts(**manifest.get("states", {}).get(name, {}), info=info, probe=probe, notes=notes)
    rule = PassRule(manifest.get("item_passes", PassRule.ANY))
    own = (record for record in records if record.model == name)
    return result_of(spec, manifest["selected"][name], facts, own, rule)


def _row(record: Record, sample: Sample) -> dict[str, Any]:
    completion, timing, verdict = sample.completion, sample.completion.timing, sample.verdict
    return {
        "model": record.model,
        "problem_set": record.problem_set,
        "task_id": record.task_id,
        "sample": sample.index,
        "outcome": str(verdict.outcome),
        "passed": verdict.passed,
        "repaired": bool(sample.program and sample.program.repairs),
        "exact_match": sample.exact_match,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "ttft_s": timing and timing.ttft_s,
        "e2e_s": timing and timing.e2e_s,
        "concurrency": timing and timing.concurrency,
        "judging_s": verdict.wall_s,
    }


def _natural(name: tuple[str, str]) -> list[tuple[int, str]]:
    """HumanEval/2 before HumanEval/10."""
    parts = re.split(r"(\d+)", "/".join(name))
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]
