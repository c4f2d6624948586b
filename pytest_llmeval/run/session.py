"""The Run: what one session plans, does and leaves. It knows nothing of pytest's items."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmeval.errors import EngineFault, LLMEvalError, ModelUnavailableError
from pytest_llmeval.keys import RunKeys
from pytest_llmeval.keys.settings import timing_settings, verdict_settings
from pytest_llmeval.options import Options
from pytest_llmeval.pipeline.batch import Batch
from pytest_llmeval.pipeline.resume import EarlierRuns, Resumption
from pytest_llmeval.placement.side_by_side import SideBySide
from pytest_llmeval.run import leaving
from pytest_llmeval.run.machines import Machines
from pytest_llmeval.run.manifest import installed_versions
from pytest_llmeval.run.parts import Parts
from pytest_llmeval.run.state import ModelState
from pytest_llmeval.schema import ModelSpec, PassRule, Record, RecordId, Task
from pytest_llmeval.selection import Selection
from pytest_llmeval.store import MANIFEST, SUMMARY, RunStore, create_run_folder, file_name, point_latest

if TYPE_CHECKING:  # the working parts are imported when work begins: collecting items needs none of them
    from pytest_llmeval.pipeline.pipeline import Notify
    from pytest_llmeval.runs import LoadedRun
    from pytest_llmeval.runs.results import ModelResult
    from pytest_llmeval.sandbox import Isolation
    from pytest_llmeval.serving.bench import Bench


@dataclass
class Run:
    """One session: what was selected, then the plan, then everything that happens.

    `whole` is the plan of all shards together, `plan` what this one asks; without shards they
    are the same. `notify` shows how far the work is: a stage and a detail; `earlier` is what the run resumes.
    """

    selection: Selection
    notify: Notify = lambda stage, detail: None
    earlier: EarlierRuns | None = None
    plan: dict[str, list[Task]] = field(default_factory=dict)
    whole: dict[str, list[Task]] = field(default_factory=dict)
    engine_wanted: set[str] = field(default_factory=set)  # models whose engine a test itself uses
    states: dict[str, ModelState] = field(default_factory=dict)
    started_at: datetime = field(default_factory=datetime.now)
    ended_at: datetime | None = None
    loaded: LoadedRun | None = None  # what the run left, once it was closed
    unwritten: list[str] = field(default_factory=list)  # documents that could not be written, and why
    _writing_manifest: threading.Lock = field(default_factory=threading.Lock)
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
    def is_empty_shard(self) -> bool:
        """True where problems were selected, and none of them belongs to this shard."""
        return self.options.shard is not None and not self.plan and bool(self.whole)

    def give_up(self) -> None:
        """Nothing will run, because the items could not be collected: nothing is asked, started or written."""
        self.plan.clear()
        self.whole.clear()

    @property
    def used(self) -> bool:
        """True once an item of ours was set up, if only to be skipped."""
        return bool(self.states)

    @property
    def store(self) -> RunStore:
        """What is written into `folder`."""
        if self._store is None:
            self._store = self.new_store()
            for name in self.plan:
                self.keys.identify(self.specs[name])  # a run killed while it loads has them in its manifest
            self._store.write_json(MANIFEST, self.manifest())
            self.announce()
        return self._store

    def new_store(self) -> RunStore:
        """What writes into `folder` as the options say."""
        options = self.options
        return RunStore(self.folder, options.predictions, PassRule(options.passing), bool(options.compress))

    def announce(self) -> None:
        """reports/latest leads to this run from now on."""
        point_latest(self.folder)

    @property
    def asked(self) -> dict[str, frozenset[tuple[str, str]]]:
        """(problem set, task) of all that each model is asked, by whichever process."""
        return {
            model: frozenset((task.problem.problem_set, task.problem.task_id) for task in tasks)
            for model, tasks in self.whole.items()
        }

    def deal(self, items: Iterable[tuple[str, str, Task | None]]) -> None:
        """What was collected, as (item's id, model, task): several workers divide it among them."""

    def begin(self, nodeid: str) -> None:
        """An item is about to be set up."""

    @cached_property
    def versions(self) -> dict[str, str]:
        """Asked for once: the manifest is written whenever a model opens."""
        return installed_versions()

    @cached_property
    def parts(self) -> Parts:
        """What does the work."""
        return Parts(self)

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

    @cached_property
    def machines(self) -> Machines:
        """What the models run on; to be asked once the plan is made."""
        return Machines(self.options, self.specs, self.plan, self.engine_wanted)

    # ------------------------------------------------------------------------------------ while items run

    def state(self, model: str) -> ModelState:
        if model not in self.states:
            reason = self.machines.why_unavailable(model)
            if reason and self.earlier and self.resumption.of(model).whole:
                reason = None  # its answers are there already
            self.states[model] = ModelState(unavailable=reason)
        return self.states[model]

    def prepare(self) -> Isolation | None:
        """Start the sandbox, and the imports of the first model that can run here.

        None where no model can, or nothing is to be judged.

        Raises:
            SandboxFault: no allowed isolation level works here.
            LLMEvalError: the run's folder cannot be written.
        """
        _ = self.store  # first of all: where the folder cannot be written, nothing begins
        available = [name for name in self.plan if not self.state(name).unavailable]
        if not available:
            return None
        if self.machines.pool:
            self.parts.models_side_by_side(available).start()
        else:
            self.parts.working_pipeline().prepare(available[0])
        return self.parts.working_sandbox().get().isolation if self.parts.judges else None

    def open(self, model: str) -> Batch:
        """Load a model and submit its whole plan.

        Raises:
            ModelUnavailableError: this machine cannot run it.
            EngineFault: it did not load.
        """
        state = self.state(model)
        if state.unavailable:
            raise ModelUnavailableError(state.unavailable)
        if self.parts.side_by_side:
            batch: Batch = self.parts.side_by_side.demand(model)
            return batch
        return self.open_now(model)

    def open_now(self, model: str) -> Batch:
        state = self.states[model]
        try:
            state.batch = self.parts.working_pipeline().open(model)
        except LLMEvalError as error:
            self._blame(model, error)
            self.finish(model)
            raise
        self._write_manifest()  # with what the engine chose: a killed run has it
        return state.batch

    def _blame(self, model: str, error: LLMEvalError) -> None:
        """Note the first fault of a model; what comes of the run's end is none."""
        state = self.states[model]
        if not (self.parts.side_by_side and self.parts.side_by_side.gave_up(model)):
            state.fault = state.fault or str(error)

    def _write_manifest(self) -> None:
        with self.noting_what_is_not_written(), self._writing_manifest:
            self.store.write_json(MANIFEST, self.manifest())

    def wait(self, batch: Batch, name: RecordId) -> Record:
        """The Record of one item, as soon as it is whole.

        Raises:
            EngineFault: the engine died before it answered.
        """
        try:
            return self.parts.working_pipeline().wait(batch, name)
        except EngineFault as error:
            self._blame(name.model, error)
            raise

    def bench(self, batch: Batch) -> Bench:
        """A model to be measured, when its batch is done and nothing of this run disturbs it.

        Raises:
            NotMeasurableError: its engine takes no requests of exact lengths.
        """
        from pytest_llmeval.serving.bench import Bench
        from pytest_llmeval.serving.checkpoint import config_of

        assert batch.engine is not None  # a test wants it, so it was loaded
        self.parts.working_pipeline().settle(batch)
        if self.parts.side_by_side:
            self.parts.side_by_side.quiet(batch.spec.name)
        watch = self.parts.watching.watch(batch.spec.name) if self.parts.watching else None
        path = self.folder / "serving" / f"{file_name(batch.spec.name)}.jsonl"
        config, seed = config_of(batch.spec), self.options.seed
        rest = {"watch": watch, "notify": self.notify, "seed": seed}
        return Bench.of(batch.spec, batch.engine, batch.info, config, path, **rest)

    def close_model(self, model: str) -> None:
        """The items of a model are done: take its single-stream timings and give back what it holds.

        Side by side, its own thread does so, and nobody waits for it.
        """
        if self.parts.side_by_side is None:
            self.finish(model)
            return
        batch = self.states[model].batch
        if self.parts.pipeline and batch and not batch.drained:
            self.parts.pipeline.close_model(model)  # items ended before its answers came
        self.parts.side_by_side.release(model)
        if self.parts.side_by_side.all_released:
            self.parts.side_by_side.join()

    def finish(self, model: str, *, timed: bool = True) -> None:
        """Take the single-stream timings of a model whose batch is whole, then close it."""
        if self.parts.pipeline is None:
            return
        state = self.states[model]
        try:
            if timed and (batch := state.batch) and self.is_probed(model):
                state.probe = self.parts.pipeline.probe(batch, self.options.probe)
                with self.noting_what_is_not_written():
                    probed = {"completions": state.probe}
                    self.store.write_json(f"engine/{file_name(model)}.probe.json", probed)
        except EngineFault as error:
            self._blame(model, error)
        finally:
            self.parts.pipeline.close_model(model)

    def is_probed(self, model: str) -> bool:
        batch, asked = self.states[model].batch, self.options.probe and self.specs[model].kind != "replay"
        return bool(asked and batch and batch.engine and batch.drained and batch.answered)

    def close(self) -> None:
        """Stop whatever runs and write what is known. May be called twice; the second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            if self.parts.side_by_side:
                self._end_side_by_side(self.parts.side_by_side)
            if self.parts.pipeline:
                self.parts.pipeline.close()
                self.parts.pipeline = None
            if self.used:
                self._write_down()
        finally:
            if self.parts.scoring:
                self.parts.scoring.close()
            if self.used:  # a cluster was connected to for the first item, if at all
                self.machines.close()

    def hurry(self) -> None:
        """While it closes: wait no longer for timings, and for what is being judged. May be called by a signal."""
        for part in (self.parts.side_by_side, self.parts.pipeline):
            if part:
                part.hurry()

    def _end_side_by_side(self, models: SideBySide) -> None:
        for model in models.stop():
            if self.parts.pipeline:
                self.parts.pipeline.close_model(model)
        models.join()

    def _write_down(self) -> None:
        """Each document for itself: a full disk must not keep the Records before it from being reported."""
        self.ended_at = datetime.now()
        self._write_manifest()
        with self.noting_what_is_not_written():
            self.loaded = self._read_back()
            self.store.write_json(SUMMARY, asdict(self.loaded.summary))
        with self.noting_what_is_not_written():
            leaving.write_samples_results(self)
        with self.noting_what_is_not_written():
            self.store.close()

    @contextlib.contextmanager
    def noting_what_is_not_written(self) -> Iterator[None]:
        """A document that cannot be written is told at the end and fails the run, which goes on without it."""
        try:
            yield
        except (LLMEvalError, OSError) as error:
            self.unwritten.append(str(error))

    def _read_back(self) -> LoadedRun:
        """What is on disk now: the run's own reports are made as any later one is."""
        from pytest_llmeval.runs import load_run

        return load_run(self.folder)

    # --------------------------------------------------------------------------------------- what it leaves

    def results(self) -> tuple[ModelResult, ...]:
        """One result per planned model, in the order of the plan; empty until the run was closed."""
        return self.loaded.models if self.loaded else ()

    def manifest(self) -> dict[str, Any]:
        """What produced these Records: versions, machine, settings; no secrets."""
        return leaving.manifest_of(self)
