"""pytest's side of an engine host: start the child, load, submit, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import ClassVar

import psutil

from pytest_llmeval.engines import EngineContext, EngineInfo, EngineStatus, Progress, faults
from pytest_llmeval.engines.host import protocol
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import Completion, ModelSpec, Request

WORKER = "pytest_llmeval.engines.host.worker"
LOG_LINES_SHOWN = 12
POLL_S = 0.25
GONE_WITHIN_S = 30.0
IMPORTING, LOADING = "importing", "loading"


class HostedEngine:
    """An engine in a host process, which starts importing when this object is made.

    `synthetic` is what its EngineInfo says of it. `close()` kills the host's whole process group and waits
    until no process of it runs.
    """

    synthetic: ClassVar[bool] = False

    def __init__(
        self, spec: ModelSpec, context: EngineContext, *, driver: str, environment: Mapping[str, str]
    ) -> None:
        self.spec = spec
        self._timeout_s = context.load_timeout_s
        self._start = partial(Host, driver, environment, context.log_path, spec)
        self._host = self._start()

    def load(self, progress: Progress) -> EngineInfo:
        try:
            return self._load_once(progress)
        except EngineFault:
            if not self._host.died_importing:
                raise
            self._host.close()
            self._host = self._start()
            return self._load_once(progress)

    def _load_once(self, progress: Progress) -> EngineInfo:
        started = time.monotonic()
        self._host.send(protocol.Load(self.spec))
        while not self._host.settled.wait(POLL_S):
            seconds = time.monotonic() - started
            progress(self._host.stage, f"{seconds:.0f} s")
            if seconds > self._timeout_s:
                self._host.kill(f"not ready after {seconds:.0f} s; --llmeval-load-timeout sets the limit")
                self._host.settled.wait()
        if self._host.ready is None:
            raise EngineFault(self._host.explain())
        ready = self._host.ready
        return EngineInfo(ready.import_s, ready.load_s, ready.facts, ready.memory, self.synthetic)

    def submit(self, request: Request) -> Future[Completion]:
        return self._host.submit(request)

    def reset_cache(self) -> None:
        self._host.send(protocol.ResetCache())

    @property
    def is_preparing(self) -> bool:
        return self._host.stage == IMPORTING and not self._host.dead.is_set()

    @property
    def status(self) -> EngineStatus:
        return EngineStatus()

    def close(self) -> None:
        self._host.close()

    @property
    def pid(self) -> int:
        """The host's process id, which is also the id of its process group."""
        return self._host.process.pid


class Host:
    """One host process and the thread that listens to it.

    `settled` is set once loading has ended, well or badly; `dead` once the process is gone. `died_importing`:
    it ended before it looked at the model, which is therefore not to blame.
    """

    def __init__(self, driver: str, environment: Mapping[str, str], log_path: Path, spec: ModelSpec) -> None:
        self.stage = IMPORTING
        self.ready: protocol.Ready | None = None
        self.settled = threading.Event()
        self.dead = threading.Event()
        self.died_importing = False
        self._cause = ""
        self._log_path = log_path
        self._spec = spec
        self._pending: dict[str, Future[Completion]] = {}
        self._lock = threading.Lock()  # guards _pending and the order of messages
        self._socket, childs_end = socket.socketpair()
        with log_path.open("ab") as log, childs_end:
            self.process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(childs_end.fileno()), driver],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[childs_end.fileno()],
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            )
        self._listener = threading.Thread(target=self._listen, name=f"host-{self.process.pid}", daemon=True)
        self._listener.start()

    def send(self, message: protocol.ToHost) -> None:
        with self._lock, contextlib.suppress(OSError):  # the listener reports the death
            self._socket.sendall(protocol.encode(message))

    def submit(self, request: Request) -> Future[Completion]:
        future: Future[Completion] = Future()
        with self._lock:
            alive = not self.dead.is_set()
            if alive:
                self._pending[request.request_id] = future
        if alive:
            self.send(protocol.Submit(request))
            future.add_done_callback(partial(self._forget, request.request_id))
        else:
            future.set_exception(EngineFault(self.explain()))
        return future

    def explain(self) -> str:
        """Why there are no more answers: kind, cause and what to do, then the end of the engine's log."""
        log = self._log_path.read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(log.splitlines()[-LOG_LINES_SHOWN:])
        paragraph = faults.explain(self._cause, log, self._spec)
        return faults.redact(f"{paragraph}\nlog: {self._log_path}, which ends:\n{tail}")

    def kill(self, cause: str) -> None:
        """End the whole group; the listener then settles everything that is pending with `cause`."""
        self._cause = self._cause or cause
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill("the engine was closed")
        self._listener.join()
        wait_until_gone(self.process.pid)
        self._socket.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._receive(protocol.decode(line))
        # Its socket has ended, or it sent nonsense: either way nothing more can be had from it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._bury(self.process.wait())

    def _receive(self, message: protocol.FromHost) -> None:
        match message:
            case protocol.Imported():
                self.stage = LOADING
            case protocol.Ready():
                self.ready = message
                self.settled.set()
            case protocol.Failed(error=error):
                self._cause = self._cause or error
            case protocol.Done(request_id=request_id, completion=completion):
                if future := self._take(request_id):
                    future.set_result(completion)
            case protocol.RequestFailed(request_id=request_id, error=error):
                if future := self._take(request_id):
                    future.set_exception(EngineFault(faults.explain(error, "", self._spec)))

    def _take(self, request_id: str) -> Future[Completion] | None:
        """The future of a request that somebody still waits for, and that cannot be cancelled any more."""
        with self._lock:
            future = self._pending.pop(request_id, None)
        return future if future and future.set_running_or_notify_cancel() else None

    def _forget(self, request_id: str, future: Future[Completion]) -> None:
        if future.cancelled() and self._pending.pop(request_id, None) is not None:
            self.send(protocol.Cancel(request_id))

    def _bury(self, status: int) -> None:
        self.died_importing = self.stage == IMPORTING and not self._cause
        self._cause = self._cause or f"the engine host died ({describe_exit(status)})"
        with self._lock:
            self.dead.set()
            lost = list(self._pending.values())
            self._pending.clear()
        for future in lost:
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineFault(self.explain()))
        self.settled.set()


def wait_until_gone(group: int) -> None:
    """Wait until no process of a killed group runs: a large one takes a while to give its memory back."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while running_in(group) and time.monotonic() < deadline:
        time.sleep(0.02)


def running_in(group: int) -> list[psutil.Process]:
    """The processes of a group that are neither gone nor zombies."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def describe_exit(status: int) -> str:
    """`signal SIGKILL` or `exit status 3`, from a Popen return code."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
