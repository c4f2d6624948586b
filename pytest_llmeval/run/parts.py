"""The working parts of a run, each made when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, create_engine
from pytest_llmeval.placement import Placement
from pytest_llmeval.placement.side_by_side import SideBySide
from pytest_llmeval.run.beside import ModelWork
from pytest_llmeval.schema import ModelSpec

if TYPE_CHECKING:  # imported when work begins: collecting items needs none of them
    from pytest_llmeval.pipeline.batch import Scorer
    from pytest_llmeval.pipeline.pipeline import Pipeline
    from pytest_llmeval.pipeline.traffic import ScoringPolicy
    from pytest_llmeval.run.session import Run
    from pytest_llmeval.run.watching import Watching
    from pytest_llmeval.scoring.background import BackgroundExecutor


class Parts:
    """Pipeline, sandbox, telemetry, and what drives models side by side; None until work needs them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.pipeline: Pipeline | None = None
        self.scoring: BackgroundExecutor | None = None
        self.watching: Watching | None = None
        self.side_by_side: SideBySide | None = None
        self.placements: dict[str, Placement] = {}

    def working_pipeline(self) -> Pipeline:
        """The pipeline; the sandbox begins to prove itself with it, where anything is to be judged."""
        if self.pipeline is None:
            from pytest_llmeval.pipeline.pipeline import Pipeline
            from pytest_llmeval.run.watching import Watching

            run = self._run
            self.watching = Watching(
                run.store, run.options.telemetry_hz, self._environ_of, run.noting_what_is_not_written
            )
            self.pipeline = Pipeline(
                {
                    name: planned
                    for name, planned in self._run.plan.items()
                    if not self._run.state(name).unavailable
                },
                self._run.specs,
                create_engine=self._create_engine,
                scorer=self._scorer,
                store=self._run.store,
                keys=self._run.keys,
                reuse=self._run.resumption.of,
                policy=self.scoring_of,
                observer=self.watching,
                seed=self._run.options.seed,
                concurrency=self._run.options.concurrency,
                imports_ahead=self._run.machines.pool is None,
                notify=self._tell,
            )
            if self.judges:
                asked = {task.problem: None for tasks in self._run.plan.values() for task in tasks}
                self.working_sandbox().start(list(asked))
        return self.pipeline

    def _tell(self, stage: str, detail: str) -> None:
        (self.side_by_side.tell if self.side_by_side else self._run.notify)(stage, detail)

    def models_side_by_side(self, models: Sequence[str]) -> SideBySide:
        """What drives several models at a time, on the places of the run's pool."""
        if self.side_by_side is None:
            machines = self._run.machines
            assert machines.pool is not None
            self.working_pipeline()
            needs = [machines.need(name) for name in models]
            work = ModelWork(self._run, machines.pool)
            self.side_by_side = SideBySide(machines.pool, needs, work, self._run.notify)
        return self.side_by_side

    def _environ_of(self, model: str) -> Mapping[str, str]:
        placement = self.placements.get(model)
        return os.environ if placement is None else placement.over()

    def _create_engine(self, spec: ModelSpec) -> Engine:
        limits = self._run.options.load_timeout_s, self._run.options.hang_timeout_s
        placement = self.placements.get(spec.name)
        launchers = self._run.machines.on_ray.launchers if self._run.machines.on_ray else None
        context = EngineContext(self._run.store.log_path(spec.name), *limits, placement, launchers)
        return create_engine(spec, context, self._run.selection.engines)

    def scoring_of(self, info: EngineInfo) -> ScoringPolicy:
        """When a model's answers are judged: while it gives others, or after them."""
        if self._run.options.scoring != "auto":
            return self._run.options.scoring
        if info.facts.get("platform") != "cpu":
            return "overlap"
        # An engine that leaves cores free is not disturbed by what runs on them.
        from pytest_llmeval.sandbox.cores import usable

        used = info.facts.get("processors")
        alone = self._run.machines.pool is None
        return "overlap" if alone and used and used < usable() else "after"

    def _engines_use(self) -> int:
        """How many processors of this machine engines keep busy now, as far as that is known."""
        return self.pipeline.engines_use if self.pipeline else 0

    @property
    def judges(self) -> bool:
        """False where models are only measured: no sandbox is started then."""
        return any(self._run.plan.values())

    def _scorer(self) -> Scorer | None:
        return self.working_sandbox().judge() if self.judges else None

    def working_sandbox(self) -> BackgroundExecutor:
        """The sandbox, of this machine or of a cluster's."""
        if self.scoring is None:
            from pytest_llmeval.scoring.background import BackgroundExecutor, local_executor

            on_ray = self._run.machines.on_ray
            make = on_ray.executor if on_ray else partial(local_executor, engines_use=self._engines_use)
            self.scoring = BackgroundExecutor(self._run.options, make)
        return self.scoring

    # ------------------------------------------------------------------------------------ for the manifest

    def describe_sandbox(self) -> dict[str, Any] | None:
        return self.scoring.describe() if self.scoring else None

    def describe_side_by_side(self) -> Any:
        return self.side_by_side.describe() if self.side_by_side else None
