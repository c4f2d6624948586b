"""pytest's side of an engine in a host: load, submit, start again once what died, and leave nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from pytest_llmeval.devices.occupancy import Card, Occupancy
from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, EngineStatus, Progress
from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.endings import Endings, hangs, too_slow
from pytest_llmeval.engines.host.launchers import ChildLauncher, Launcher
from pytest_llmeval.engines.host.process import IMPORTING, Host
from pytest_llmeval.engines.host.stages import LOADING, LogStages, graphs_bytes
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import Completion, ModelSpec, Request

__all__ = ["HostedEngine"]

POLL_S = 0.25
WATCH_S = 0.5
QUIET_TOLD_S = 30.0  # silence worth a word to those who wait; a step takes seconds at most, compiling longer
RESTARTS = 1
DISTURBED = "the engine died and was started again while this request was under way"


@dataclass(frozen=True)
class Pending:
    """A request somebody waits for; `disturbed` says why its times will not count."""

    request: Request
    future: Future[Completion]
    disturbed: str | None = None


class HostedEngine(Engine):
    """An engine in a host process, which starts importing when this object is made.

    Where the host dies under way it is started again once, and what was unanswered is submitted again; the
    second death is a fault of the model. So is silence: no step of the engine's loop within
    `silence_limit_s` while requests wait. The devices `cards` are the engine's from before it loads until it is
    closed. `synthetic` is what its EngineInfo says of it. `close()` kills the host's whole process group, waits
    until no process of it runs, and takes secrets out of its log.
    """

    synthetic: ClassVar[bool] = False

    def __init__(
        self,
        spec: ModelSpec,
        context: EngineContext,
        *,
        driver: str,
        environment: Mapping[str, str],
        cards: Sequence[Card] = (),
    ) -> None:
        self.spec = spec
        self._occupancy = Occupancy(
            spec, cards, f"run in {context.log_path.parent.parent}, model {spec.name}"
        )
        self._context = context
        self._endings = Endings(spec, context.log_path)
        launchers = context.launchers
        self._launcher: Launcher = launchers.of(spec) if launchers else ChildLauncher()
        self._launch: Callable[[], Host] = partial(
            self._launcher.start, driver, environment, context.log_path, self
        )
        self._lock = threading.Lock()  # guards everything below, and the order of messages
        self._pending: dict[str, Pending] = {}
        self._waited_since = 0.0  # since when somebody waits without a break
        self._over: EngineFault | None = None  # why nothing is answered any more
        self._ended = threading.Event()
        self._loaded = False
        self._restarts = 0
        self._first_death = ""
        self._notes: list[str] = []
        self._kv_peak_share: float | None = None
        self._host = self._start()

    def _start(self) -> Host:
        try:
            return self._launch()
        except (OSError, RuntimeError) as error:  # no process, no memory, no thread, no file for the log
            raise EngineFault(self._endings.not_started(error)) from error

    # ------------------------------------------------------------------------------------------ loading

    def load(self, progress: Progress) -> EngineInfo:
        try:
            self._occupancy.acquire(progress, self._context.load_timeout_s)
            info = self._load_or_try_again(progress)
            self._occupancy.settled()
        except EngineFault as fault:
            with self._lock:
                self._over = self._over or fault
            raise
        with self._lock:
            self._loaded = True
            host = self._host
        if host.dead.is_set():  # before we took notice of its deaths
            self.died(host)
        threading.Thread(target=self._watch, name=f"watch-{self.spec.name}", daemon=True).start()
        return info

    def _load_or_try_again(self, progress: Progress) -> EngineInfo:
        try:
            return self._load_once(progress)
        except EngineFault:
            if not self._host.died_importing:
                raise
            self._replace()
            return self._load_once(progress)

    def _replace(self) -> None:
        """A host that died while it imported: the model is not to blame, and gets another."""
        self._host.close()
        with self._lock:
            if self._over is not None:  # closed meanwhile, from another thread
                raise self._over
            self._host = self._start()

    def _load_once(self, progress: Progress) -> EngineInfo:
        host, started = self._host, time.monotonic()
        stages = LogStages(self._context.log_path)
        host.send(protocol.Load(self.spec))
        while not host.settled.wait(POLL_S):
            seconds = time.monotonic() - started
            progress(stages.current() if host.stage == LOADING else host.stage, f"{seconds:.0f} s")
            if seconds > self._context.load_timeout_s:
                host.kill(too_slow(seconds))
                host.settled.wait()
        if host.ready is None:
            raise EngineFault(self._endings.of_host(host.cause))
        ready, memory = host.ready, host.ready.memory
        if memory is not None and memory.graphs_bytes is None:
            memory = replace(memory, graphs_bytes=graphs_bytes(stages.text()))
        return EngineInfo(ready.import_s, ready.load_s, ready.facts, memory, self.synthetic)

    # ---------------------------------------------------------------------------------------- answering

    def submit(self, request: Request) -> Future[Completion]:
        future: Future[Completion] = Future()
        with self._lock:
            over = self._over
            if over is None:
                if not self._pending:
                    self._waited_since = time.monotonic()
                self._pending[request.request_id] = Pending(request, future, self._disturbance)
                self._host.send(protocol.Submit(request))
        if over is None:
            future.add_done_callback(partial(self._forget, request.request_id))
        else:
            future.set_exception(over)
        return future

    @property
    def _disturbance(self) -> str | None:
        return DISTURBED if self._loaded and self._host.ready is None else None

    def _forget(self, request_id: str, future: Future[Completion]) -> None:
        """Called when a future is done; where it was cancelled, the host need not answer it."""
        if not future.cancelled():
            return
        with self._lock:
            if self._pending.pop(request_id, None) is not None and self._over is None:
                self._host.send(protocol.Cancel(request_id))

    def heard(self, message: protocol.FromHost) -> None:
        match message:
            case protocol.Ready() if self._loaded:
                self._occupancy.settled()
            case protocol.Done(request_id=request_id, completion=completion):
                self._note_use(message.kv_peak_share)
                if pending := self._take(request_id):
                    pending.future.set_result(marked(completion, pending.disturbed))
            case protocol.RequestFailed(request_id=request_id, error=error):
                if pending := self._take(request_id):
                    pending.future.set_exception(EngineFault(self._endings.of_request(error)))

    def _take(self, request_id: str) -> Pending | None:
        """A request that somebody still waits for, and that cannot be cancelled any more."""
        with self._lock:
            pending = self._pending.pop(request_id, None)
        return pending if pending and pending.future.set_running_or_notify_cancel() else None

    def _note_use(self, share: float | None) -> None:
        if share is not None:
            self._kv_peak_share = max(share, self._kv_peak_share or 0.0)

    def reset_cache(self) -> None:
        with self._lock:
            self._host.send(protocol.ResetCache())

    # ------------------------------------------------------------------------------------ when it dies

    def died(self, host: Host) -> None:
        with self._lock:
            if not self._loaded or self._over is not None or host is not self._host:
                return
            over = self._over = self._try_again(host)
            lost = [] if over is None else self._lose_all()
        if over is not None:
            self._fail(lost, over)

    def _try_again(self, host: Host) -> EngineFault | None:
        """Start it again; else why nothing is answered any more."""
        if host.sentenced or self._restarts == RESTARTS:
            return EngineFault(self._endings.of_host(host.cause, self._first_death))
        try:
            self._restart(host, self._start())
        except EngineFault as fault:
            told = self._endings.of_host(host.cause)
            return EngineFault(f"{told}\nIt could not be started again: {fault}")
        return None

    def _restart(self, host: Host, another: Host) -> None:
        self._restarts += 1
        self._first_death = self._endings.in_short(host.cause)
        again = len(self._pending)
        self._notes.append(
            f"the engine died ({self._first_death}) and was started again; {again} requests were sent again, "
            f"and their times are left out"
        )
        self._host = another
        self._host.send(protocol.Load(self.spec))
        for request_id, pending in self._pending.items():
            self._pending[request_id] = replace(pending, disturbed=DISTURBED)
            self._host.send(protocol.Submit(pending.request))

    def _watch(self) -> None:
        """End a host that is silent for too long, or takes too long to come back."""
        while not self._ended.wait(WATCH_S):
            host, limit_s = self._host, self._context.silence_limit_s
            seconds = time.monotonic() - host.started_at
            if host.ready is not None:
                self._occupancy.look()
            if host.ready is None and seconds > self._context.load_timeout_s:
                host.kill(too_slow(seconds))
            elif host.ready is not None and self._quiet_s > limit_s:
                host.kill(hangs(self._quiet_s))

    @property
    def _quiet_s(self) -> float:
        """Seconds without a step of the engine's loop, while somebody waits."""
        if not self._pending:
            return 0.0
        return time.monotonic() - max(self._host.alive_at, self._waited_since)

    # --------------------------------------------------------------------------------------------- state

    @property
    def is_preparing(self) -> bool:
        return self._host.stage == IMPORTING and not self._host.dead.is_set()

    @property
    def status(self) -> EngineStatus:
        ready = self._host.ready
        pool = ready.memory.kv_pool_tokens if ready and ready.memory else None
        share = self._kv_peak_share
        return EngineStatus(
            trouble=self._trouble(),
            notes=(*self._notes, *self._occupancy.notes),
            kv_peak_tokens=round(pool * share) if pool and share is not None else None,
            kv_peak_share=share,
        )

    def _trouble(self) -> str:
        if self._over is not None or not self._loaded:
            return ""
        if self._host.ready is None:
            return f"died, being started again for {time.monotonic() - self._host.started_at:.0f} s"
        quiet_s = self._quiet_s
        return f"no sign of life for {quiet_s:.0f} s" if quiet_s > QUIET_TOLD_S else ""

    @property
    def pid(self) -> int:
        """The host's process id, which is also the id of its process group."""
        return self._host.pid

    @property
    def is_here(self) -> bool:
        """True where its processes are on this machine."""
        return self._launcher.is_here

    def close(self) -> None:
        with self._lock:
            self._over = self._over or EngineFault("the engine was closed")
            lost, host = self._lose_all(), self._host
        host.close()
        self._launcher.release()
        self._occupancy.release()
        self._fail(lost, self._over)
        if note := self._endings.scrub_log():
            self._notes.append(note)

    def _lose_all(self) -> list[Pending]:
        self._ended.set()
        lost = list(self._pending.values())
        self._pending.clear()
        return lost

    @staticmethod
    def _fail(lost: list[Pending], fault: EngineFault) -> None:
        for pending in lost:
            if pending.future.set_running_or_notify_cancel():
                pending.future.set_exception(fault)


def marked(completion: Completion, disturbed: str | None) -> Completion:
    """The completion; where its request was disturbed, its timing says so."""
    if disturbed is None or completion.timing is None:
        return completion
    return replace(completion, timing=replace(completion.timing, disturbed=disturbed))
