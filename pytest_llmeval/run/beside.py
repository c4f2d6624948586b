"""What a run does with each of several models that run side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmeval.placement import Placement, Pool

if TYPE_CHECKING:
    from pytest_llmeval.pipeline.batch import Batch
    from pytest_llmeval.run.session import Run


class ModelWork:
    """What the thread of one model does in a run of several side by side."""

    def __init__(self, run: Run, pool: Pool) -> None:
        self._run = run
        self._pool = pool

    def begin(self, model: str, placement: Placement) -> Batch:
        self._run.parts.placements[model] = placement
        self._run.states[model].notes = self._pool.conditions(placement)
        return self._run.open_now(model)

    def settle(self, batch: Batch) -> None:
        if pipeline := self._run.parts.pipeline:
            pipeline.settle(batch)

    def measures(self, model: str) -> bool:
        return self._run.is_probed(model)

    def finish(self, model: str, *, timed: bool) -> None:
        self._run.finish(model, timed=timed)
