"""The program of an engine host: `python -m pytest_llmeval.engines.host.worker SOCKET LIFELINE DRIVER`.

SOCKET leads to pytest; when it ends, this process kills its own group, so nothing outlives pytest. There is no
PDEATHSIG: it would stop this process before it could kill vLLM's children. LIFELINE is a pipe that ends with
pytest, too: a keeper, a shell of a megabyte in the same group, waits for that and kills the group, because a
call that holds the interpreter for ever would keep this process from noticing.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.schema import MemoryBreakdown, ModelSpec, Request

HEARTBEAT_S = 1.0
KEEPER = ("/bin/sh", "-c", "read nothing; kill -KILL 0")  # 0: everybody in its group, itself included

Inbox = queue.SimpleQueue[Request | protocol.ResetCache | protocol.Cancel]


class Outbox(Protocol):
    """Where a driver puts what it has to tell pytest; may be called from any thread."""

    def send(self, message: protocol.FromHost) -> None: ...

    def alive(self) -> None:
        """The engine's loop goes round; to be called at each step, and costs next to nothing."""


@dataclass(frozen=True)
class Loaded:
    """What a driver tells of a loaded model: facts for the manifest, and where its memory goes."""

    facts: Mapping[str, Any]
    memory: MemoryBreakdown | None = None


class Driver(Protocol):
    """Drives one engine inside the host. Importing its module pays the heavy imports."""

    def load(self, spec: ModelSpec) -> Loaded:
        """Load the model; return what was really loaded."""

    def serve(self, inbox: Inbox, outbox: Outbox) -> None:
        """Answer requests, reset the prefix cache and drop requests when told to, for ever.

        An exception ends the host. A cancelled request may be answered all the same, or never.
        """


class Wire:
    """The socket to pytest: a thread reads it, `send` may be called from any thread."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self.to_load: queue.SimpleQueue[ModelSpec] = queue.SimpleQueue()
        self.inbox: Inbox = queue.SimpleQueue()
        self.alive_at = time.monotonic()
        self._sending = threading.Lock()
        threading.Thread(target=self._read, name="wire", daemon=True).start()
        threading.Thread(target=self._beat, name="heart", daemon=True).start()

    def send(self, message: protocol.FromHost) -> None:
        line = protocol.encode(message)
        with self._sending:
            self.socket.sendall(line)

    def alive(self) -> None:
        self.alive_at = time.monotonic()

    def _beat(self) -> None:
        with contextlib.suppress(OSError):  # pytest has gone: the reading thread ends everything
            while True:
                time.sleep(HEARTBEAT_S)
                self.send(protocol.Alive(time.monotonic() - self.alive_at))

    def _read(self) -> None:
        try:
            with self.socket.makefile("rb") as lines:
                for line in lines:
                    message = protocol.decode(line)
                    match message:
                        case protocol.Load(spec=spec):
                            self.to_load.put(spec)
                        case protocol.Submit(request=request):
                            self.inbox.put(request)
                        case protocol.ResetCache() | protocol.Cancel():
                            self.inbox.put(message)
        finally:
            end_group()


def end_group() -> None:
    """Kill this process and everything it started."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.killpg(0, signal.SIGKILL)


def start_keeper(lifeline: int) -> None:
    """Start a process of this group that ends the group when the pipe ends."""
    quiet = subprocess.DEVNULL
    subprocess.Popen(KEEPER, stdin=lifeline, stdout=quiet, stderr=quiet, env={})
    os.close(lifeline)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which then closes the socket
    to_pytest, lifeline, driver = sys.argv[1:]
    start_keeper(int(lifeline))
    wire = Wire(int(to_pytest))
    try:
        _run(wire, driver)
    except BaseException as error:
        traceback.print_exc()
        wire.send(protocol.Failed(one_line(error)))
    end_group()


def _run(wire: Wire, driver_name: str) -> None:
    started = time.monotonic()
    module, _, attribute = driver_name.partition(":")
    driver: Driver = getattr(import_module(module), attribute)()
    import_s = time.monotonic() - started
    wire.send(protocol.Imported(import_s))
    spec = wire.to_load.get()
    loading = time.monotonic()
    loaded = driver.load(spec)
    wire.alive()
    load_s = time.monotonic() - loading
    wire.send(protocol.Ready(import_s, load_s, dict(loaded.facts), loaded.memory))
    driver.serve(wire.inbox, wire)


def one_line(error: BaseException) -> str:
    """The error in its own words: `TypeError: unexpected keyword …`, white space folded."""
    return " ".join(f"{type(error).__name__}: {error}".split())


if __name__ == "__main__":
    main()
