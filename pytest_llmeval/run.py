"""The Run: what one session plans, does and leaves. It knows nothing of pytest's items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_llmeval import devices, problems
from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, create_engine
from pytest_llmeval.errors import EngineFault, LLMEvalError, ModelUnavailableError
from pytest_llmeval.manifest import installed_versions, machine
from pytest_llmeval.metrics.summary import ModelSummary, summarise
from pytest_llmeval.options import Options
from pytest_llmeval.pipeline import Batch, Notify, Pipeline, ScoringPolicy
from pytest_llmeval.registry import load_registry
from pytest_llmeval.schema import SCHEMA_VERSION, ModelSpec, Problem, Record
from pytest_llmeval.scoring import BackgroundExecutor
from pytest_llmeval.store import MANIFEST, SUMMARY, RecordId, RunStore, create_run_folder, point_latest


class Status(StrEnum):
    """Where a model stands at the end of a run."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    FAULTED = "faulted"
    UNAVAILABLE = "unavailable"


@dataclass
class ModelState:
    """What became of one model. `reason` says why it is unavailable or faulted, in full."""

    unavailable: str | None = None
    fault: str | None = None
    explained: bool = False
    batch: Batch | None = None

    @property
    def reason(self) -> str:
        return self.unavailable or self.fault or ""


@dataclass(frozen=True)
class ModelResult:
    """One line of the leaderboard."""

    spec: ModelSpec
    status: Status
    reason: str
    selected: int
    info: EngineInfo
    summary: ModelSummary


@dataclass
class Run:
    """One session: options and specs at first, then the plan, then everything that happens.

    `notify` shows how far the work is: a stage and a detail.
    """

    options: Options
    specs: Mapping[str, ModelSpec]
    notify: Notify = lambda stage, detail: None
    plan: dict[str, list[Problem]] = field(default_factory=dict)
    states: dict[str, ModelState] = field(default_factory=dict)
    started_at: datetime = field(default_factory=datetime.now)
    _pipeline: Pipeline | None = None
    _store: RunStore | None = None
    _problem_sets: dict[str, problems.ProblemSet] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Options) -> Run:
        """Raises ConfigurationError where the registry holds mistakes."""
        return cls(options, load_registry(options.registry))

    # -------------------------------------------------------------------------------- before anything runs

    def problem_set(self, name: str) -> problems.ProblemSet:
        """A problem set, read once."""
        if name not in self._problem_sets:
            self._problem_sets[name] = problems.load_problem_set(name)
        return self._problem_sets[name]

    def problem(self, problem_set: str, task_id: str) -> Problem:
        return self.problem_set(problem_set).by_id[task_id]

    def selected_problems(self, name: str) -> tuple[Problem, ...]:
        """The problems of a set that --llmeval-limit and --llmeval-sample leave."""
        every = self.problem_set(name).problems
        return problems.select(every, self.options.limit, self.options.sample, self.options.seed)

    @cached_property
    def folder(self) -> Path:
        """This run's directory, reports/<date>_<time>; it comes into being when first asked for."""
        return create_run_folder(self.options.reports, self.started_at.strftime("%Y%m%d_%H%M%S"))

    @property
    def used(self) -> bool:
        """True once an item of ours was set up, if only to be skipped."""
        return bool(self.states)

    @property
    def store(self) -> RunStore:
        """What is written into `folder`."""
        if self._store is None:
            self._store = RunStore(self.folder)
            self._store.write_json(MANIFEST, self.manifest())
            point_latest(self.folder)
        return self._store

    # ------------------------------------------------------------------------------------ while items run

    def state(self, model: str) -> ModelState:
        if model not in self.states:
            reason = devices.why_unavailable(self.specs[model])
            self.states[model] = ModelState(unavailable=reason)
        return self.states[model]

    def open(self, model: str) -> Batch:
        """Load a model and submit its whole plan.

        Raises:
            ModelUnavailableError: this machine cannot run it.
            EngineFault: it did not load.
        """
        state = self.state(model)
        if state.unavailable:
            raise ModelUnavailableError(state.unavailable)
        try:
            state.batch = self._working_pipeline().open(model)
        except LLMEvalError as error:
            state.fault = str(error)
            self.close_model(model)
            raise
        return state.batch

    def wait(self, batch: Batch, name: RecordId) -> Record:
        """The Record of one item, as soon as it is whole.

        Raises:
            EngineFault: the engine died before it answered.
        """
        try:
            return self._working_pipeline().wait(batch, name)
        except EngineFault as error:
            state = self.states[name.model]
            state.fault = state.fault or str(error)
            raise

    def close_model(self, model: str) -> None:
        if self._pipeline:
            self._pipeline.close_model(model)

    def close(self) -> None:
        """Stop whatever runs and write what is known. May be called twice."""
        if self._pipeline:
            self._pipeline.close()
            self._pipeline = None
        if self.used:
            self.store.write_json(MANIFEST, self.manifest())
            self.store.write_json(SUMMARY, self.summary())
            self.store.close()
        self._sandbox.close()

    def _working_pipeline(self) -> Pipeline:
        if self._pipeline is None:
            self._pipeline = Pipeline(
                {name: planned for name, planned in self.plan.items() if not self.state(name).unavailable},
                self.specs,
                create_engine=self._create_engine,
                scorer=self._sandbox.get,
                store=self.store,
                policy=self._policy,
                seed=self.options.seed,
                notify=self.notify,
            )
            self._sandbox.start()
        return self._pipeline

    def _create_engine(self, spec: ModelSpec) -> Engine:
        context = EngineContext(self.store.log_path(spec.name), self.options.load_timeout_s)
        return create_engine(spec, context)

    def _policy(self, info: EngineInfo) -> ScoringPolicy:
        if self.options.scoring != "auto":
            return self.options.scoring
        return "after" if info.facts.get("platform") == "cpu" else "overlap"

    @cached_property
    def _sandbox(self) -> BackgroundExecutor:
        return BackgroundExecutor(self.options.sandbox)

    # --------------------------------------------------------------------------------------- what it leaves

    def results(self) -> Iterator[ModelResult]:
        """One result per planned model, in the order of the plan, computed from the Records on disk."""
        by_model: dict[str, list[Record]] = {name: [] for name in self.plan}
        if self._store:
            for record in self._store.records():
                by_model.setdefault(record.model, []).append(record)
        for name, planned in self.plan.items():
            state = self.states.get(name, ModelState())
            seconds = state.batch.seconds if state.batch else None
            info = state.batch.info if state.batch else EngineInfo()
            summary = summarise(by_model[name], seconds)
            status = _status(state, len(planned), summary)
            yield ModelResult(self.specs[name], status, state.reason, len(planned), info, summary)

    def manifest(self) -> dict[str, Any]:
        """What produced these Records: versions, machine, settings; no secrets."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.folder.name,
            "started_at": self.started_at.astimezone().isoformat(timespec="seconds"),
            "versions": installed_versions(),
            "machine": machine(),
            "sandbox": self._sandbox.isolation,
            "seed": self.options.seed,
            "scoring": self.options.scoring,
            "models": {name: self.specs[name] for name in self.plan},
            "selected": {name: len(planned) for name, planned in self.plan.items()},
            "engines": {name: state.batch.info for name, state in self.states.items() if state.batch},
        }

    def summary(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "models": {
                result.spec.name: {
                    "status": result.status,
                    "reason": result.reason,
                    "selected": result.selected,
                    "figures": result.summary,
                }
                for result in self.results()
            },
        }


def _status(state: ModelState, selected: int, summary: ModelSummary) -> Status:
    if state.unavailable:
        return Status.UNAVAILABLE
    if state.fault or summary.faults:
        return Status.FAULTED
    return Status.COMPLETE if summary.judged >= selected else Status.INCOMPLETE
