"""Joins prompting, engine, extraction, sandbox and store: a model's whole plan at once, Record by Record.

Knows nothing of pytest. The caller's thread opens models and waits; what comes and goes meanwhile is `traffic`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_until_done
from functools import partial
from typing import Protocol

from pytest_llmeval.engines import Engine, EngineInfo
from pytest_llmeval.errors import EngineFault, LLMEvalError, what_and_where
from pytest_llmeval.keys import RunKeys
from pytest_llmeval.pipeline import probe
from pytest_llmeval.pipeline.asking import questions, record_id_of, requests
from pytest_llmeval.pipeline.batch import Batch, Scorer, progress
from pytest_llmeval.pipeline.resume import ReuseOf
from pytest_llmeval.pipeline.traffic import Observer, ScoringPolicy, Traffic
from pytest_llmeval.schema import Completion, ModelSpec, Record, RecordId, Request, Task
from pytest_llmeval.store import RunStore

WAIT_S = 0.25
ENDED = "not loaded: the run ended before"
SETTLE_S = 10.0  # for judging what had arrived when a run is interrupted

Notify = Callable[[str, str], None]  # stage, how far: ("tiny_coder: generating", "118 of 164 answers")


class EngineFactory(Protocol):
    def __call__(self, spec: ModelSpec) -> Engine: ...


class Pipeline:
    """Runs models over one scorer and one store: one after another, or each in a thread of its own.

    `imports_ahead`: when one loads, the engine of the model after it starts its imports already.
    """

    def __init__(
        self,
        plan: Mapping[str, Sequence[Task]],
        specs: Mapping[str, ModelSpec],
        *,
        create_engine: EngineFactory,
        scorer: Callable[[], Scorer | None],
        store: RunStore,
        keys: RunKeys,
        reuse: ReuseOf,
        policy: Callable[[EngineInfo], ScoringPolicy],
        observer: Observer,
        seed: int = 0,
        concurrency: int | None = None,
        imports_ahead: bool = True,
        notify: Notify = lambda stage, detail: None,
    ) -> None:
        self._plan = dict(plan)
        self._specs = specs
        self._create_engine = create_engine
        self._scorer = scorer
        self._keys = keys
        self._reuse = reuse
        self._store = store
        self._traffic = Traffic(store, keys, policy, observer, concurrency)
        self._observer = observer
        self._seed = seed
        self._imports_ahead = imports_ahead
        self._notify = notify
        self._lock = threading.Lock()
        self._ended = False
        self._hurried = False
        self._probes = itertools.count()
        self._prepared: dict[str, Engine] = {}
        self._open: dict[str, Engine] = {}
        self._batches: dict[str, Batch] = {}

    def prepare(self, name: str) -> None:
        """Make a model's engine ahead of `open`, so that it imports while others wait or load.

        One that cannot be made is left for `open` to report, as that model's fault and nobody else's.
        """
        if name not in self._prepared and name not in self._open and not self._reuse(name).whole:
            with contextlib.suppress(LLMEvalError):
                self._prepared[name] = self._create_engine(self._specs[name])

    def open(self, name: str) -> Batch:
        """Load a model, submit everything that is planned for it, and return at once.

        What earlier runs answered is not asked again; where that is all, no engine is loaded.
        The engine of the model after it starts its imports now: while one loads, the other can import.

        Raises:
            EngineFault: the model did not load.
            ConfigurationError, MissingExtraError: its engine could not be made.
            SandboxFault: no sandbox can judge its answers.
        """
        spec = self._specs[name]
        if self._reuse(name).whole:
            self._prepare_next(name)
            batch = self._batch(spec, None, EngineInfo())
        else:
            engine = self._prepared.pop(name) if name in self._prepared else self._create_engine(spec)
            self._enter(name, engine)
            self._prepare_next(name)
            self._observer.enters(spec, engine, "load")
            info = self._load(name, engine)
            self._keys.identify(spec)  # loading may have fetched newer weights
            batch = self._batch(spec, engine, info)
            self._observer.enters(spec, engine, "batch" if batch.expected else None)
        self._batches[name] = batch
        batch.submitted_at = time.monotonic()
        self._traffic.flow(batch)
        return batch

    def ask_also(self, name: str, tasks: Sequence[Task]) -> None:
        """Ask more of a model: at once where it is open; else these, and nothing again, when it is opened."""
        batch = self._batches.get(name)
        if batch is None or name not in self._open:
            self._plan[name] = tasks
            return
        more = questions(batch.spec, tasks, self._seed)
        batch.add(tasks, {record_id_of(name, t.problem): Future() for t in tasks}, more)
        self._traffic.flow(batch)

    def _enter(self, name: str, engine: Engine) -> None:
        """An engine is about to load; where the run has ended meanwhile, it is closed like the others."""
        with self._lock:
            self._open[name] = engine
        if self._ended:
            self.close_model(name)
            raise EngineFault(ENDED)

    def _load(self, name: str, engine: Engine) -> EngineInfo:
        """An engine that was closed while it loaded is closed again: whatever it has loaded since goes too."""
        try:
            info = engine.load(lambda stage, detail: self._notify(f"{name}: {stage}", detail))
        except LLMEvalError:
            raise
        except Exception as error:  # others' code raises whatever it likes
            raise EngineFault(what_and_where(error)) from error
        finally:
            closed = self._open.get(name) is not engine
            if closed:
                engine.close()
        if closed:
            raise EngineFault(ENDED)
        return info

    def _prepare_next(self, name: str) -> None:
        names = list(self._plan) if self._imports_ahead else [name]
        for following in names[names.index(name) + 1 :][:1]:
            self.prepare(following)

    def _batch(self, spec: ModelSpec, engine: Engine | None, info: EngineInfo) -> Batch:
        tasks, reuse = self._plan[spec.name], self._reuse(spec.name)
        futures: dict[RecordId, Future[RecordId]] = {
            record_id_of(spec.name, t.problem): Future() for t in tasks
        }
        missing = reuse.wanted - len(reuse.answers)
        batch = Batch(spec, engine, self._scorer(), info, tasks, futures, expected=missing)
        batch.waiting = questions(spec, tasks, self._seed)
        if reuse.answers:
            batch.waiting = iter(
                [q for q in batch.waiting if not self._traffic.answered_before(batch, q, reuse)]
            )
        return batch

    def wait(self, batch: Batch, name: RecordId) -> Record:
        """Wait for one Record, telling how far the batch is.

        Raises:
            EngineFault: its answer will never come.
            LLMEvalError: it could not be written.
        """
        future = batch.futures[name]
        while not wait_until_done([future], timeout=WAIT_S).done:
            self._notify(*progress(batch))
        record = self._store.get(future.result())
        assert record is not None  # its future says that it is stored
        return record

    def probe(self, batch: Batch, count: int) -> list[Completion]:
        """Ask up to `count` of the tasks that were answered again, one at a time: single-stream timings.

        To be called when the batch has drained. Tasks are drawn by the run's seed; no other engine imports
        meanwhile. The answers are not judged.

        Raises:
            EngineFault: the engine died, or refused a request.
        """
        assert batch.engine is not None
        name = batch.spec.name
        self.settle(batch)
        tasks = probe.draw(batch.answered, count, self._seed)
        told = partial(self._notify, f"{name}: probing one at a time")
        self._observer.enters(batch.spec, batch.engine, "probe")
        try:
            return probe.probe(batch.engine, tasks, partial(self._probe_request, batch), told)
        finally:
            self._observer.enters(batch.spec, batch.engine, None)

    def settle(self, batch: Batch) -> None:
        """Wait until the model's batch is answered and judged, and no other engine imports: nothing disturbs then."""
        missing = set(batch.futures.values())
        while missing := wait_until_done(missing, timeout=WAIT_S).not_done:
            self._notify(*progress(batch))
        while any(engine.is_preparing for engine in self._prepared.values()):
            self._notify(f"{batch.spec.name}: waiting to measure", "another engine imports")
            time.sleep(WAIT_S)

    def _probe_request(self, batch: Batch, task: Task) -> Request:
        return next(requests(batch.spec, task, self._seed, f"probe-{next(self._probes)}"))

    @property
    def engines_use(self) -> int:
        """How many processors of this machine the engines keep busy that are answering now, as far as they tell."""
        return sum(
            batch.info.facts.get("processors") or 0
            for batch in list(self._batches.values())
            if batch.is_answering and getattr(batch.engine, "is_here", True)
        )

    def close_model(self, name: str) -> None:
        """Close a model's engine; what it had not answered is cancelled."""
        if name in self._batches:
            self._traffic.cancel(self._batches[name])
        if engine := self._open.pop(name, None):
            try:
                self._observer.closes(name, engine)
            finally:
                engine.close()

    def close(self) -> None:
        """Close every engine, also those that were only preparing; answers that had arrived are still judged."""
        with self._lock:
            self._ended = True
            names = list(self._open)
        for name in names:
            self.close_model(name)
        for engine in self._prepared.values():
            engine.close()
        self._prepared.clear()
        # A closed engine has failed every future whose answer had not come; what is left is being judged.
        unsettled = {future for batch in self._batches.values() for future in batch.futures.values()}
        deadline = time.monotonic() + SETTLE_S
        while unsettled and not self._hurried and time.monotonic() < deadline:
            unsettled = wait_until_done(unsettled, timeout=WAIT_S).not_done
        self._traffic.close()

    def hurry(self) -> None:
        """While `close` waits for what is being judged: wait no longer. May be called by a signal."""
        self._hurried = True  # and nothing else: a lock may be held by whom the signal interrupted
