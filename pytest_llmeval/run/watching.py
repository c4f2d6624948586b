"""Telemetry of a run: one Watch for each model that is open, told by the pipeline where the model stands."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from pytest_llmeval.devices import SERVED_ELSEWHERE, device_count
from pytest_llmeval.engines import Engine
from pytest_llmeval.schema import Completion, ModelSpec, RecordId
from pytest_llmeval.store import RunStore, file_name
from pytest_llmeval.telemetry.watch import ELSEWHERE, OWN_PROCESS, Target, Watch

FOLDER = "telemetry"
ON_A_NODE = "the engine runs on a node of a cluster, where nothing is sampled"


class Watching:
    """Starts a Watch when a model is opened, and leaves `telemetry/<model>.json` when it is closed."""

    def __init__(
        self,
        store: RunStore,
        rate_hz: float,
        environ_of: Callable[[str], Mapping[str, str]] = lambda model: os.environ,
        noting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`environ_of` is what a model's host finds in its environment: it says which devices are the model's.

        `noting` stands around what is written: a document that cannot be must not keep engines from being closed.
        """
        self._environ_of = environ_of
        self._noting = noting
        self._store = store
        self._rate_hz = rate_hz
        self._watches: dict[str, Watch] = {}

    def enters(self, spec: ModelSpec, engine: Engine, phase: str | None) -> None:
        """A model's next phase begins; None: nothing that is measured."""
        if not self._rate_hz:
            return
        if spec.name not in self._watches:
            target = target_of(spec, engine, self._environ_of(spec.name))
            path = self._store.folder / FOLDER / f"{file_name(spec.name)}.jsonl"
            self._watches[spec.name] = Watch(target, path, rate_hz=self._rate_hz)
        self._watches[spec.name].enter(phase)

    def answered(self, name: RecordId, sample: int, completion: Completion) -> None:
        """An answer of the batch has come."""
        if watch := self._watches.get(name.model):
            timing = completion.timing
            names = {"problem_set": name.problem_set, "task_id": name.task_id, "sample": sample}
            watch.item(names, timing.e2e_s if timing else None, completion.completion_tokens)

    def watch(self, model: str) -> Watch | None:
        return self._watches.get(model)

    def closes(self, model: str, engine: Engine) -> None:
        """The engine is about to be closed: write down what was seen of it."""
        if watch := self._watches.pop(model, None):
            telemetry = watch.close()
            left = {"telemetry": telemetry, "status": engine.status}
            with self._noting():
                self._store.write_json(f"{FOLDER}/{file_name(model)}.json", left)


def target_of(spec: ModelSpec, engine: Engine, environ: Mapping[str, str] = os.environ) -> Target:
    """Where to look for a model: its host's process group, and the devices that its host may use."""
    visible = spec.environment.get("CUDA_VISIBLE_DEVICES", environ.get("CUDA_VISIBLE_DEVICES"))
    count = device_count(spec)
    if spec.kind in SERVED_ELSEWHERE:
        return Target(spec.name, None, visible, count, absent=ELSEWHERE)
    if not getattr(engine, "is_here", True):
        return Target(spec.name, None, visible, count, absent=ON_A_NODE)
    group: Callable[[], int] | None = (lambda: engine.pid) if hasattr(engine, "pid") else None
    return Target(spec.name, group, visible, count, absent=OWN_PROCESS)
