"""Reads a run back from its folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pytest_llmeval.engines import EngineInfo
from pytest_llmeval.errors import ConfigurationError, MissingExtraError
from pytest_llmeval.runs import costs
from pytest_llmeval.runs.compact import Compacting
from pytest_llmeval.runs.costs import Costs
from pytest_llmeval.runs.results import Line, ModelFacts, ModelResult, lines_of, result_of
from pytest_llmeval.runs.summary import SummaryDocument, summary_document
from pytest_llmeval.schema import (
    SCHEMA_VERSION,
    Completion,
    ModelSpec,
    PassRule,
    Record,
    RecordId,
    Sample,
)
from pytest_llmeval.schema.tasks import natural_order
from pytest_llmeval.serving import measurements
from pytest_llmeval.serving.measurements import Measurement
from pytest_llmeval.store import (
    MANIFEST,
    RESULTS,
    file_name,
    located,
    prediction_path,
    read_document,
    read_record,
    read_with_places,
)
from pytest_llmeval.telemetry.watch import ModelTelemetry


@dataclass(frozen=True)
class LoadedRun:
    """One run. `records` holds every Record without its texts and seconds of judging; `whole` reads one in full.

    `models` are in the order of the plan, `lines` those of the leaderboard: a model and one of its problem sets.
    `costs` is what each model's `telemetry` comes to, `measurements` what the serving suites found.
    """

    folder: Path
    manifest: Mapping[str, Any]
    models: tuple[ModelResult, ...]
    records: Mapping[RecordId, Record]
    probes: Mapping[str, Sequence[Completion]]
    telemetry: Mapping[str, ModelTelemetry]
    costs: Mapping[str, Costs]
    measurements: tuple[Measurement, ...]
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

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The leaderboard: a line for each model and problem set."""
        return tuple(lines_of(self.models))

    @cached_property
    def problem_sets(self) -> tuple[str, ...]:
        """Every problem set a model was asked, in the order of the plan."""
        return tuple(dict.fromkeys(line.problem_set for line in self.lines if line.problem_set))

    @property
    def samples(self) -> int:
        """How many samples the run has in all."""
        return sum(record.n for record in self.records.values())

    @property
    def summary(self) -> SummaryDocument:
        """What summary.json holds."""
        return summary_document(self.run_id, self.rule, self.models, self.costs, self.measurements)

    @cached_property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """(problem set, task id) of every problem with a Record, in natural order."""
        return tuple(sorted({(name.problem_set, name.task_id) for name in self.records}, key=natural_order))

    def of(self, model: str, problem_set: str | None = None) -> Iterator[Record]:
        """A model's Records, of one problem set or of all, without their texts."""
        for record in self._by_model.get(model, ()):
            if problem_set is None or record.problem_set == problem_set:
                yield record

    @cached_property
    def _by_model(self) -> Mapping[str, Sequence[Record]]:
        groups: dict[str, list[Record]] = {}
        for record in self.records.values():
            groups.setdefault(record.model, []).append(record)
        return groups

    def whole(self, name: RecordId) -> Record:
        """One Record with everything in it, read from disk."""
        return read_record(located(self.folder / RESULTS), self.offsets[name])

    def prediction(self, name: RecordId) -> Path:
        """The file that holds one Record for people."""
        return prediction_path(self.folder, name)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat row per sample: names, outcome, tokens and seconds."""
        for name in self.records:
            record = self.whole(name)
            yield from (_row(record, sample) for sample in record.samples)

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


@dataclass(frozen=True)
class Probe:
    """What engine/<model>.probe.json holds: the answers to requests that were sent one at a time."""

    completions: tuple[Completion, ...]


def load_run(path: str | Path) -> LoadedRun:
    """Read a run's folder (reports/latest is one); no model and no device is needed.

    Raises:
        ConfigurationError: the folder holds no run, or one of another schema.
        LLMEvalError: a file in it is damaged.
    """
    folder = Path(path).resolve()
    manifest = read_manifest(folder)
    records, offsets = _compact_records(located(folder / RESULTS))
    specs = {name: _spec(table) for name, table in manifest["models"].items()}
    probes = {name: _probe(folder, name) for name in specs}
    models = tuple(_result(manifest, spec, records.values(), probes[name]) for name, spec in specs.items())
    seen = {name: found for name in specs if (found := costs.read(folder, name))}
    return LoadedRun(
        folder,
        manifest,
        models,
        records,
        probes,
        telemetry={name: one.telemetry for name, one in seen.items()},
        costs={
            name: costs.costs_of(model, seen.get(name), costs.why_not_seen(folder, name))
            for name, model in zip(specs, models, strict=True)
        },
        measurements=tuple(measurements.read(folder / "serving")),
        offsets=offsets,
    )


def _compact_records(path: Path) -> tuple[dict[RecordId, Record], dict[RecordId, int]]:
    """Every Record without its texts, and where in the file it is. A Record of a thousand samples takes megabytes:
    `map` lets go of one before it asks for the next, which a loop's variable would not.
    """
    compacting = Compacting()
    records: dict[RecordId, Record] = {}
    offsets: dict[RecordId, int] = {}

    def compacted(placed: tuple[int, Record]) -> tuple[int, Record]:
        return placed[0], compacting.record(placed[1])

    for offset, record in map(compacted, read_with_places(path) if path.is_file() else ()):
        records[record.record_id], offsets[record.record_id] = record, offset
    return records, offsets


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a run's folder says of how the run came about.

    Raises:
        ConfigurationError: the folder holds no run, or one of another schema.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{folder} is no run's folder: {MANIFEST} cannot be read ({error}). A run is a folder under "
            "reports/, e.g. reports/latest"
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("models"), dict):
        raise ConfigurationError(f"{path} names no models: it is not a run's manifest")
    if (version := manifest.get("schema_version")) != SCHEMA_VERSION:
        raise ConfigurationError(f"{path}: schema_version {version!r}; this version reads {SCHEMA_VERSION}")
    if lacking := ", ".join(_lacking(manifest)):
        raise ConfigurationError(
            f"{path} lacks {lacking}: it is damaged; copy the run once more, or leave it out"
        )
    return manifest


def _lacking(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What no report can be made without."""
    if not isinstance(manifest.get("run_id"), str):
        yield "run_id"
    try:
        datetime.fromisoformat(manifest["started_at"])
    except (KeyError, TypeError, ValueError):
        yield "started_at"
    if not isinstance(manifest.get("asked"), dict):
        yield "asked"


def _spec(table: Mapping[str, Any]) -> ModelSpec:
    """A manifest names a model's environment variables without their values."""
    environment = dict.fromkeys(table.get("environment", ()), "")
    return TypeAdapter(ModelSpec).validate_python({**table, "environment": environment})


def _probe(folder: Path, model: str) -> Sequence[Completion]:
    path = folder / "engine" / f"{file_name(model)}.probe.json"
    if not path.exists():
        return ()
    probe: Probe = read_document(path, Probe)
    return probe.completions


def _result(
    manifest: Mapping[str, Any], spec: ModelSpec, records: Iterable[Record], probe: Sequence[Completion]
) -> ModelResult:
    name = spec.name
    info = TypeAdapter(EngineInfo).validate_python(manifest.get("engines", {}).get(name, {}))
    notes = tuple(manifest.get("engines_fared", {}).get(name, {}).get("notes", ()))
    facts = ModelFacts(**manifest.get("states", {}).get(name, {}), info=info, probe=probe, notes=notes)
    rule = PassRule(manifest.get("item_passes", PassRule.ANY))
    own = (record for record in records if record.model == name)
    return result_of(spec, _selected(manifest, name), facts, own, rule)


def _selected(manifest: Mapping[str, Any], model: str) -> dict[str, int]:
    """How many problems of each set a model was to be asked."""
    counted: Counter[str] = Counter()
    for row in manifest["asked"].get(model, ()):
        counted[row["problem_set"]] += row["problems"]
    return counted


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
