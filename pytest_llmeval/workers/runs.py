"""A Run in each worker, and the Run that the controller makes of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_llmeval.errors import ConfigurationError, NotMeasurableError
from pytest_llmeval.run import Run
from pytest_llmeval.schema import Task
from pytest_llmeval.selection import Selection
from pytest_llmeval.store import GENERATIONS, MANIFEST, RESULTS, RUNS, RunStore, located, point_latest
from pytest_llmeval.workers import FOLDER, count, is_controller, is_worker
from pytest_llmeval.workers.scheduling import check_distribution, shares_of

if TYPE_CHECKING:
    from pytest_llmeval.pipeline.batch import Batch

PREDICTIONS = "predictions"


def run_for(config: Any, selection: Selection) -> Run:
    """The Run of this process.

    Raises:
        ConfigurationError: the options and the workers do not go together.
    """
    if not is_worker(config) and not is_controller(config):
        return Run.of(selection)
    options = selection.options
    for option, given in (("resume", options.resume), ("devices", options.devices), ("ray", options.ray)):
        if given:
            raise ConfigurationError(
                f"--llmeval-{option} is not for pytest-xdist's workers: leave -n out, or add -n0"
            )
    if is_controller(config):
        divided(selection, check_distribution(config))
        if options.baseline:  # reports/latest is this run soon, and workers may start at any time
            config.option.llmeval_baseline = str(options.baseline.resolve())
        return ControllerRun(selection)
    home = Path(config.workerinput[FOLDER]) / RUNS / config.workerinput["workerid"]
    return WorkerRun(divided(selection, count(config)), home=home, workers=count(config))


def divided(selection: Selection, workers: int) -> Selection:
    """What all workers together may use, for one of them.

    Raises:
        ConfigurationError: fewer requests are allowed at a time than there are workers.
    """
    from pytest_llmeval.sandbox.cores import usable

    options = selection.options
    if options.concurrency is not None and options.concurrency < workers:
        raise ConfigurationError(
            f"--llmeval-concurrency={options.concurrency}: {workers} workers send at least {workers} requests at a "
            "time; start fewer"
        )
    own = replace(
        options,
        concurrency=options.concurrency and options.concurrency // workers,
        sandbox_workers=max(1, (options.sandbox_workers or usable()) // workers),
        probe=options.probe if workers == 1 else 0,  # others would be answered meanwhile
    )
    return replace(selection, options=own)


@dataclass
class WorkerRun(Run):
    """One worker's part, in `home`. Its plan is the share of which it was given an item, and those it takes over."""

    home: Path = Path()
    workers: int = 1
    shares: dict[str, int] = field(default_factory=dict)  # by an item's id
    _tasks: dict[int, dict[str, dict[Task, None]]] = field(default_factory=dict)  # share → model → tasks
    _taken: set[int] = field(default_factory=set)

    @cached_property
    def folder(self) -> Path:
        self.home.mkdir(parents=True, exist_ok=True)
        return self.home

    def announce(self) -> None:
        """The newest run is the controller's, of which this is a part."""
        point_latest(self.home.parents[1])

    def deal(self, items: Iterable[tuple[str, str, Task | None]]) -> None:
        """Divide what was collected, given as (item's id, model, task), into shares."""
        every = list(items)
        self.shares = shares_of((nodeid for nodeid, _, _ in every), self.specs, self.workers)
        for nodeid, model, task in every:
            tasks = self._tasks.setdefault(self.shares[nodeid], {}).setdefault(model, {})
            if task is not None:
                tasks[task] = None

    def begin(self, nodeid: str) -> None:
        """Take an item's share into the plan: all of it is asked at once."""
        share = self.shares.get(nodeid)
        if share is None or share in self._taken:
            return
        self._taken.add(share)
        for model, tasks in self._tasks[share].items():
            if self.parts.pipeline:
                self.parts.pipeline.ask_also(model, list(tasks))
            self.plan[model] = [*self.plan.get(model, ()), *tasks]

    def bench(self, batch: Batch) -> NoReturn:
        raise NotMeasurableError("not measured under pytest-xdist: other workers would disturb it")


@dataclass
class ControllerRun(Run):
    """What the workers did, as one run."""

    _manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def used(self) -> bool:
        return bool(self._homes())

    @property
    def planned_samples(self) -> int:
        """About: only workers know what the suites say."""
        n = self.options.sampling.get("n") or max(
            (spec.sampling.n for spec in self.specs.values()), default=1
        )
        return sum(self.selection.sample_counts.values()) or 164 * int(n) * len(self.specs)

    @cached_property
    def store(self) -> RunStore:
        return self.new_store()

    @property
    def asked(self) -> dict[str, frozenset[tuple[str, str]]]:
        rows = [(model, row) for row in self._manifest.get("planned", ()) for model in row["models"]]
        return {
            model: frozenset((r["problem_set"], task) for m, r in rows if m == model for task in r["tasks"])
            for model, _ in rows
        }

    def _homes(self) -> list[Path]:
        return sorted((self.folder / RUNS).glob(f"*/{MANIFEST}"))

    def _write_down(self) -> None:
        with self.noting_what_is_not_written():
            self._put_together()
        super()._write_down()

    def manifest(self) -> dict[str, Any]:
        return self._manifest

    def _put_together(self) -> None:
        from pytest_llmeval.merging import merge_into, read_sources

        self.ended_at = datetime.now()
        sources = read_sources([path.parent for path in self._homes()])
        merged = merge_into(self.store, sources, doubles="first", side_by_side=True)
        times = {"started_at": self.started_at, "ended_at": self.ended_at}
        told: dict[str, Any] = {
            name: time.astimezone().isoformat(timespec="seconds") for name, time in times.items()
        }
        if len(sources) > 1:
            told["concurrency"] = f"{merged['concurrency']} in each of {len(sources)} workers"
        self._manifest = {**merged, **told}
        self.announce()
        for source in sources:
            self._keep_once(source.folder)

    def _keep_once(self, home: Path) -> None:
        """The worker's Records are in the run's own files now."""
        if (path := located(home / GENERATIONS)).is_file():
            self.store.copy_generations(path)
            path.unlink()
        located(home / RESULTS).unlink(missing_ok=True)
        shutil.rmtree(home / PREDICTIONS, ignore_errors=True)
