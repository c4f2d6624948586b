"""The Run: what one session plans, does and leaves. It knows nothing of pytest's items."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmeval import devices, samples
from pytest_llmeval.batch import Batch
from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, create_engine
from pytest_llmeval.errors import EngineFault, LLMEvalError, ModelUnavailableError
from pytest_llmeval.keys import RunKeys
from pytest_llmeval.keys.settings import timing_settings, verdict_settings
from pytest_llmeval.manifest import describe_model, describe_plan, installed_versions, machine
from pytest_llmeval.options import Options
from pytest_llmeval.results import ModelResult, ModelState, describe_state
from pytest_llmeval.resume import RESUMED_FROM, EarlierRuns, Resumption
from pytest_llmeval.schema import SCHEMA_VERSION, ModelSpec, Record, RecordId, Task
from pytest_llmeval.selection import Selection
from pytest_llmeval.store import (
    MANIFEST,
    SUMMARY,
    RunStore,
    create_run_folder,
    file_name,
    point_latest,
)

if TYPE_CHECKING:  # the working parts are imported when work begins: collecting items needs none of them
    from pytest_llmeval.pipeline import Notify, Pipeline, ScoringPolicy
    from pytest_llmeval.runs import LoadedRun
    from pytest_llmeval.sandbox import Isolation
    from pytest_llmeval.scoring import BackgroundExecutor
    from pytest_llmeval.serving.bench import Bench
    from pytest_llmeval.watching import Watching


@dataclass
class Run:
    """One session: what was selected, then the plan, then everything that happens.

    `notify` shows how far the work is: a stage and a detail; `earlier` is what the run resumes.
    """

    selection: Selection
    notify: Notify = lambda stage, detail: None
    earlier: EarlierRuns | None = None
    plan: dict[str, list[Task]] = field(default_factory=dict)
    engine_wanted: set[str] = field(default_factory=set)  # models whose engine a test itself uses
    states: dict[str, ModelState] = field(default_factory=dict)
    started_at: datetime = field(default_factory=datetime.now)
    ended_at: datetime | None = None
    loaded: LoadedRun | None = None  # what the run left, once it was closed
    unwritten: list[str] = field(default_factory=list)  # documents that could not be written, and why
    _pipeline: Pipeline | None = None
    _scoring: BackgroundExecutor | None = None
    _watching: Watching | None = None
    _closed: bool = False
    _store: RunStore | None = None

    @classmethod
    def of(cls, selection: Selection) -> Run:
        """A run of what was selected.

        Raises:
            ConfigurationError: the run to resume is not there.
        """
        options = selection.options
        earlier = EarlierRuns.find(options.reports, options.resume) if options.resume else None
        return cls(selection, earlier=earlier)

    @property
    def options(self) -> Options:
        return self.selection.options

    @property
    def specs(self) -> Mapping[str, ModelSpec]:
        return self.selection.specs

    @cached_property
    def folder(self) -> Path:
        """This run's directory, reports/<date>_<time>; it comes into being when first asked for."""
        return create_run_folder(self.options.reports, self.started_at.strftime("%Y%m%d_%H%M%S"))

    @property
    def planned_samples(self) -> int:
        """How many answers the plan asks for."""
        return sum(task.sampling.n for tasks in self.plan.values() for task in tasks)

    @property
    def used(self) -> bool:
        """True once an item of ours was set up, if only to be skipped."""
        return bool(self.states)

    @property
    def store(self) -> RunStore:
        """What is written into `folder`."""
        if self._store is None:
            self._store = RunStore(self.folder)
            for name in self.plan:
                self.keys.identify(self.specs[name])  # a run killed while it loads has them in its manifest
            self._store.write_json(MANIFEST, self.manifest())
            point_latest(self.folder)
        return self._store

    @cached_property
    def keys(self) -> RunKeys:
        """What answers, verdicts and times of this run depend on."""
        options = self.options
        return RunKeys(options.seed, verdict_settings(options), timing_settings(options))

    @cached_property
    def resumption(self) -> Resumption:
        """What the plan takes from the run that this one resumes; to be asked once the plan is made."""
        return Resumption(
            self.earlier, self.specs, self.plan, self.keys, self.options.seed, self.engine_wanted
        )

    # ------------------------------------------------------------------------------------ while items run

    def state(self, model: str) -> ModelState:
        if model not in self.states:
            reason = devices.why_unavailable(self.specs[model])
            if reason and self.earlier and self.resumption.of(model).whole:
                reason = None  # its answers are there already
            self.states[model] = ModelState(unavailable=reason)
        return self.states[model]

    def prepare(self) -> Isolation | None:
        """Start the sandbox, and the imports of the first model that can run here; None where none can.

        Raises:
            SandboxFault: no allowed isolation level works here.
        """
        available = [name for name in self.plan if not self.state(name).unavailable]
        if not available:
            return None
        self._working_pipeline().prepare(available[0])
        return self._working_sandbox().get().isolation

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
        with self._noting_what_is_not_written():
            self.store.write_json(
                MANIFEST, self.manifest()
            )  # with what the engine chose: a killed run has it
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

    def bench(self, batch: Batch) -> Bench:
        """A model to be measured, when its batch is done and nothing of this run disturbs it.

        Raises:
            NotMeasurableError: its engine takes no requests of exact lengths.
        """
        from pytest_llmeval.serving.bench import Bench
        from pytest_llmeval.serving.checkpoint import config_of

        assert batch.engine is not None  # a test wants it, so it was loaded
        self._working_pipeline().settle(batch)
        watch = self._watching.watch(batch.spec.name) if self._watching else None
        path = self.folder / "serving" / f"{file_name(batch.spec.name)}.jsonl"
        config, seed = config_of(batch.spec), self.options.seed
        rest = {"watch": watch, "notify": self.notify, "seed": seed}
        return Bench.of(batch.spec, batch.engine, batch.info, config, path, **rest)

    def close_model(self, model: str) -> None:
        """Take the single-stream timings of a model whose batch is whole, then give back what it holds."""
        if self._pipeline is None:
            return
        state = self.states[model]
        try:
            batch = state.batch
            if batch and batch.engine and batch.tasks and batch.drained and self._times_requests(model):
                state.probe = self._pipeline.probe(batch, self.options.probe)
                self.store.write_json(f"engine/{file_name(model)}.probe.json", {"completions": state.probe})
        except EngineFault as error:
            state.fault = state.fault or str(error)
        finally:
            self._pipeline.close_model(model)

    def _times_requests(self, model: str) -> bool:
        return bool(self.options.probe) and self.specs[model].kind != "replay"

    def close(self) -> None:
        """Stop whatever runs and write what is known. May be called twice; the second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._pipeline:
                self._pipeline.close()
                self._pipeline = None
            if self.used:
                self._write_down()
        finally:
            if self._scoring:
                self._scoring.close()

    def _write_down(self) -> None:
        """Each document for itself: a full disk must not keep the Records before it from being reported."""
        self.ended_at = datetime.now()
        with self._noting_what_is_not_written():
            self.store.write_json(MANIFEST, self.manifest())
        with self._noting_what_is_not_written():
            self.loaded = self._read_back()
            self.store.write_json(SUMMARY, asdict(self.loaded.summary))
        with self._noting_what_is_not_written():
            self._write_samples_results()
        self.store.close()

    @contextlib.contextmanager
    def _noting_what_is_not_written(self) -> Iterator[None]:
        try:
            yield
        except (LLMEvalError, OSError) as error:
            self.unwritten.append(str(error))

    def _read_back(self) -> LoadedRun:
        """What is on disk now: the run's own reports are made as any later one is."""
        from pytest_llmeval.runs import load_run

        return load_run(self.folder)

    def _write_samples_results(self) -> None:
        """A file per problem set: HumanEval and HumanEval+ judge the same rows."""
        if (source := self.options.samples) is None:
            return
        by_set: dict[str, list[Record]] = {}
        for record in self.store.records():
            by_set.setdefault(record.problem_set, []).append(record)
        stem = source.name.removesuffix(".gz").removesuffix(".jsonl")
        for name, records in by_set.items():
            middle = f"_{file_name(name)}" if len(by_set) > 1 else ""
            samples.write_results(source, records, self.folder / f"{stem}{middle}_results.jsonl")

    def _working_pipeline(self) -> Pipeline:
        if self._pipeline is None:
            from pytest_llmeval.pipeline import Pipeline
            from pytest_llmeval.watching import Watching

            self._watching = Watching(self.store, self.options.telemetry_hz)
            self._pipeline = Pipeline(
                {name: planned for name, planned in self.plan.items() if not self.state(name).unavailable},
                self.specs,
                create_engine=self._create_engine,
                scorer=self._working_sandbox().judge,
                store=self.store,
                keys=self.keys,
                reuse=self.resumption.of,
                policy=self._policy,
                observer=self._watching,
                seed=self.options.seed,
                concurrency=self.options.concurrency,
                notify=self.notify,
            )
            asked = {task.problem: None for tasks in self.plan.values() for task in tasks}
            self._working_sandbox().start(list(asked))
        return self._pipeline

    def _create_engine(self, spec: ModelSpec) -> Engine:
        limits = self.options.load_timeout_s, self.options.hang_timeout_s
        context = EngineContext(self.store.log_path(spec.name), *limits)
        return create_engine(spec, context, self.selection.engines)

    def _policy(self, info: EngineInfo) -> ScoringPolicy:
        if self.options.scoring != "auto":
            return self.options.scoring
        return "after" if info.facts.get("platform") == "cpu" else "overlap"

    def _working_sandbox(self) -> BackgroundExecutor:
        if self._scoring is None:
            from pytest_llmeval.scoring import BackgroundExecutor

            self._scoring = BackgroundExecutor(self.options)
        return self._scoring

    # --------------------------------------------------------------------------------------- what it leaves

    def results(self) -> tuple[ModelResult, ...]:
        """One result per planned model, in the order of the plan; empty until the run was closed."""
        return self.loaded.models if self.loaded else ()

    def manifest(self) -> dict[str, Any]:
        """What produced these Records: versions, machine, settings; no secrets."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.folder.name,
            "started_at": self.started_at.astimezone().isoformat(timespec="seconds"),
            "ended_at": self.ended_at and self.ended_at.astimezone().isoformat(timespec="seconds"),
            "versions": installed_versions(),
            "machine": machine(),
            "sandbox": self._scoring.describe() if self._scoring else None,
            "seed": self.options.seed,
            "concurrency": self.options.concurrency or "all at once",
            "scoring": self.options.scoring,
            "models": {name: describe_model(self.specs[name]) for name in self.plan},
            "asked": {name: describe_plan(self.specs[name], planned) for name, planned in self.plan.items()},
            "item_passes": self.options.passing,
            "selected": {name: len(planned) for name, planned in self.plan.items()},
            "keys": self.keys.describe(),
            RESUMED_FROM: self.earlier.run_id if self.earlier else None,
            "reused": {
                name: {
                    "answers": batch.reused,
                    "judged_again": batch.judged_again,
                    "generated": batch.expected,
                }
                for name, state in self.states.items()
                if self.earlier and (batch := state.batch)
            },
            "engines": {name: state.batch.info for name, state in self.states.items() if state.batch},
            "engines_fared": {name: s.batch.status for name, s in self.states.items() if s.batch},
            "states": {name: describe_state(state.facts) for name, state in self.states.items()},
        }
