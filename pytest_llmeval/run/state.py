"""Where a model stands while the run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_llmeval.engines import EngineInfo, EngineStatus
from pytest_llmeval.pipeline.batch import Batch
from pytest_llmeval.schema import Completion

if TYPE_CHECKING:  # collecting items reads nothing back
    from pytest_llmeval.runs.results import ModelFacts


@dataclass
class ModelState:
    """What happens to one model. `unavailable` and `fault` say in full why it has no, or not all, answers."""

    unavailable: str | None = None
    fault: str | None = None
    explained: bool = False  # the fault was shown in full once; from then on it is referred to
    batch: Batch | None = None
    probe: Sequence[Completion] = ()
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> EngineStatus:
        """How its engine fares, and under which conditions."""
        status = self.batch.status if self.batch else EngineStatus()
        return replace(status, notes=(*self.notes, *status.notes))

    @property
    def facts(self) -> ModelFacts:
        """What is left to tell of it."""
        info = self.batch.info if self.batch else EngineInfo()
        seconds = self.batch.seconds if self.batch else None
        from pytest_llmeval.runs.results import ModelFacts

        return ModelFacts(self.unavailable, self.fault, seconds, info, self.probe, self.status.notes)


def describe_state(facts: ModelFacts) -> dict[str, Any]:
    """What the manifest keeps of a model's facts; the rest of them lies in files of its own."""
    return {"unavailable": facts.unavailable, "fault": facts.fault, "batch_s": facts.batch_s}
