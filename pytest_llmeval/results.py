"""What became of each model: its state while the run goes on, its line in the leaderboard afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pytest_llmeval.batch import Batch
from pytest_llmeval.engines import EngineInfo
from pytest_llmeval.metrics.summary import ModelSummary, summarise
from pytest_llmeval.schema import SCHEMA_VERSION, Completion, ModelSpec, PassRule, Record


class Status(StrEnum):
    """Where a model stands at the end of a run."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    FAULTED = "faulted"
    UNAVAILABLE = "unavailable"


@dataclass
class ModelState:
    """What happens to one model. `unavailable` and `fault` say in full why it has no, or not all, answers."""

    unavailable: str | None = None
    fault: str | None = None
    explained: bool = False  # the fault was shown in full once; from then on it is referred to
    batch: Batch | None = None
    probe: Sequence[Completion] = ()

    @property
    def facts(self) -> ModelFacts:
        """What is left to tell of it."""
        info = self.batch.info if self.batch else EngineInfo()
        seconds = self.batch.seconds if self.batch else None
        notes = self.batch.status.notes if self.batch else ()
        return ModelFacts(self.unavailable, self.fault, seconds, info, self.probe, notes)


@dataclass(frozen=True)
class ModelFacts:
    """What a model's Records do not tell: why it did not run, what was loaded, the batch's wall time, the probe."""

    unavailable: str | None = None
    fault: str | None = None
    batch_s: float | None = None
    info: EngineInfo = field(default_factory=EngineInfo)
    probe: Sequence[Completion] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelResult:
    """One line of the leaderboard; `notes` are what readers of its figures must know."""

    spec: ModelSpec
    status: Status
    reason: str
    selected: int
    info: EngineInfo
    summary: ModelSummary
    notes: tuple[str, ...] = ()


def result_of(
    spec: ModelSpec,
    selected: int,
    facts: ModelFacts,
    records: Iterable[Record],
    rule: PassRule = PassRule.ANY,
) -> ModelResult:
    """Compute one model's line from its Records; `selected` is how many problems it was to be asked."""
    summary = summarise(records, facts.batch_s, facts.probe, rule)
    reason = facts.unavailable or facts.fault or ""
    status = _status(facts, selected, summary)
    return ModelResult(spec, status, reason, selected, facts.info, summary, facts.notes)


def _status(facts: ModelFacts, selected: int, summary: ModelSummary) -> Status:
    if facts.unavailable:
        return Status.UNAVAILABLE
    if facts.fault or summary.faults:
        return Status.FAULTED
    return Status.COMPLETE if summary.judged >= selected else Status.INCOMPLETE


@dataclass(frozen=True)
class ModelSummaryLine:
    """A model in summary.json. `reason` says in full why it is not complete, `notes` what else must be known."""

    status: Status
    reason: str
    notes: tuple[str, ...]
    selected: int
    figures: ModelSummary


@dataclass(frozen=True)
class SummaryDocument:
    """summary.json: every model's status and figures. Its JSON Schema is docs/schemas/summary-1.schema.json."""

    schema_version: int
    run_id: str
    item_passes: PassRule
    models: dict[str, ModelSummaryLine]


def summary_document(run_id: str, rule: PassRule, results: Iterable[ModelResult]) -> SummaryDocument:
    lines = {
        r.spec.name: ModelSummaryLine(r.status, r.reason, r.notes, r.selected, r.summary) for r in results
    }
    return SummaryDocument(SCHEMA_VERSION, run_id, rule, lines)


def describe_state(facts: ModelFacts) -> dict[str, Any]:
    """What the manifest keeps of a model's facts; the rest of them lies in files of its own."""
    return {"unavailable": facts.unavailable, "fault": facts.fault, "batch_s": facts.batch_s}
