"""What became of each model: its state while the run goes on, its line in the leaderboard afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    """What happens to one model. `reason` says in full why it is unavailable or faulted."""

    unavailable: str | None = None
    fault: str | None = None
    explained: bool = False  # the fault was shown in full once; from then on it is referred to
    batch: Batch | None = None
    probe: Sequence[Completion] = ()

    @property
    def reason(self) -> str:
        return self.unavailable or self.fault or ""


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
    state: ModelState,
    records: Iterable[Record],
    rule: PassRule = PassRule.ANY,
) -> ModelResult:
    """Compute one model's line from its Records; `selected` is how many problems it was to be asked."""
    batch = state.batch
    summary = summarise(records, batch.seconds if batch else None, state.probe, rule)
    info = batch.info if batch else EngineInfo()
    notes = batch.status.notes if batch else ()
    return ModelResult(spec, _status(state, selected, summary), state.reason, selected, info, summary, notes)


def _status(state: ModelState, selected: int, summary: ModelSummary) -> Status:
    if state.unavailable:
        return Status.UNAVAILABLE
    if state.fault or summary.faults:
        return Status.FAULTED
    return Status.COMPLETE if summary.judged >= selected else Status.INCOMPLETE


def summary_document(results: Iterable[ModelResult]) -> dict[str, Any]:
    """summary.json: every model's status and figures."""
    return {
        "schema_version": SCHEMA_VERSION,
        "models": {
            result.spec.name: {
                "status": result.status,
                "reason": result.reason,
                "notes": result.notes,
                "selected": result.selected,
                "figures": result.summary,
            }
            for result in results
        },
    }
