"""summary.json: what became of each model, how right, how fast and at what cost, in one document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmeval.metrics.summary import ModelSummary, SetFigures
from pytest_llmeval.runs.costs import Costs
from pytest_llmeval.runs.results import ModelResult, Status
from pytest_llmeval.schema import PassRule
from pytest_llmeval.serving.measurements import Measurement, knees

SUMMARY_VERSION = 2
"""Of summary.json; 1 pooled the problem sets of a model in one pass@1."""


@dataclass(frozen=True)
class ModelSummaryLine:
    """A model in summary.json. `reason` says in full why it is not complete, `notes` what else must be known.

    `problem_sets` holds how right its answers are, for each set apart: shares of different sets have no mean.
    `costs` is memory, utilisation and energy, read from telemetry; `costs.why` says what is not available, and why.
    """

    status: Status
    reason: str
    notes: tuple[str, ...]
    selected: int
    problem_sets: dict[str, SetFigures]
    figures: ModelSummary
    costs: Costs


@dataclass(frozen=True)
class ServingFigures:
    """What the measuring suites found. `knees`: model → concurrency at the knee of its throughput."""

    measurements: tuple[Measurement, ...]
    knees: dict[str, int]


@dataclass(frozen=True)
class SummaryDocument:
    """summary.json: every model's status and figures. Its JSON Schema is docs/schemas/summary-2.schema.json."""

    schema_version: int
    run_id: str
    item_passes: PassRule
    models: dict[str, ModelSummaryLine]
    serving: ServingFigures


def summary_document(
    run_id: str,
    rule: PassRule,
    results: Iterable[ModelResult],
    costs: Mapping[str, Costs],
    measurements: Sequence[Measurement],
) -> SummaryDocument:
    """The document; `costs` by model."""
    lines = {r.spec.name: _line(r, costs[r.spec.name]) for r in results}
    serving = ServingFigures(tuple(measurements), knees(measurements))
    return SummaryDocument(SUMMARY_VERSION, run_id, rule, lines, serving)


def _line(result: ModelResult, costs: Costs) -> ModelSummaryLine:
    sets = dict(result.problem_sets)
    return ModelSummaryLine(
        result.status, result.reason, result.notes, result.selected, sets, result.summary, costs
    )
