"""The program of an engine host: `python -m pytest_llmeval.engines.host.worker SOCKET LIFELINE DRIVER`.

SOCKET leads to pytest; when it ends, this process kills its own group, so nothing outlives pytest. There is no
PDEATHSIG: it would stop this process before it could kill vLLM's children. LIFELINE is a pipe that ends with
pytest, too: a keeper, a shell of a megabyte in the same group, waits for that and kills the group, because a
call that holds the interpreter for ever would keep this process from noticing.
"""

from __future__ import annotations

import contextlib
import gc
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
from pytest_llmeval.placement.places import CORES_VARIABLE
from pytest_llmeval.schema import MemoryBreakdown, ModelSpec, Request

__all__ = ["Driver", "Inbox", "Loaded", "Outbox"]

HEARTBEAT_S = 1.0
KEEPER = ("/bin/sh", "-c", "read nothing; kill -KILL 0")  # 0: everybody in its group, itself included

Inbox = queue.SimpleQueue[Request | protocol.ResetCache | protocol.Cancel]


class Outbox(Protocol):
    """Where a driver puts what it has to tell pytest; may be called from any thread."""

    def send(self, message: protocol.FromHost) -> None:
        """Hand a message over; whole, and in the order of the calls."""

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
        os.register_at_fork(after_in_child=self._leave)
        threading.Thread(target=self._read, name="wire", daemon=True).start()
        threading.Thread(target=self._beat, name="heart", daemon=True).start()

    def send(self, message: protocol.FromHost) -> None:
        line = protocol.encode(message)
        with self._sending:
            self.socket.sendall(line)

    def alive(self) -> None:
        self.alive_at = time.monotonic()

    def _leave(self) -> None:
        """A forked child that kept the socket would keep this process's death from being noticed."""
        with contextlib.suppress(OSError):  # a child of such a child has none
            os.close(self.socket.detach())

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
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # a log on a full disk takes nothing more
        os.killpg(0, signal.SIGKILL)


def start_keeper(lifeline: int) -> None:
    """Start a process of this group that ends the group when the pipe ends."""
    quiet = subprocess.DEVNULL
    subprocess.Popen(KEEPER, stdin=lifeline, stdout=quiet, stderr=quiet, env={})
    os.close(lifeline)


def keep_to_cores(given: str) -> None:
    """Bind this process, and with it all it will start, to the cores of its placement: `0,1`."""
    if given:
        os.sched_setaffinity(0, {int(core) for core in given.split(",")})


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which then closes the socket
    to_pytest, lifeline, driver = sys.argv[1:]
    start_keeper(int(lifeline))
    keep_to_cores(os.environ.get(CORES_VARIABLE, ""))
    wire = Wire(int(to_pytest))
    try:
        _run(wire, driver)
    except BaseException as error:
        wire.send(protocol.Failed(one_line(error)))  # first: the log may be on a full disk
        traceback.print_exc()
    finally:
        end_group()


def _run(wire: Wire, driver_name: str) -> None:
    started = time.monotonic()
    driver = _imported(driver_name)
    import_s = time.monotonic() - started
    wire.send(protocol.Imported(import_s))
    spec = wire.to_load.get()
    loading = time.monotonic()
    loaded = driver.load(spec)
    wire.alive()
    load_s = time.monotonic() - loading
    wire.send(protocol.Ready(import_s, load_s, dict(loaded.facts), loaded.memory))
    driver.serve(wire.inbox, wire)


def _imported(driver_name: str) -> Driver:
    """The driver. What its imports made stays: collecting it again and again was two fifths of loading vLLM."""
    module, _, attribute = driver_name.partition(":")
    gc.disable()
    driver: Driver = getattr(import_module(module), attribute)()
    gc.freeze()
    gc.enable()
    return driver


def one_line(error: BaseException) -> str:
    """The error in its own words: `TypeError: unexpected keyword …`, white space folded."""
    return " ".join(f"{type(error).__name__}: {error}".split())


if __name__ == "__main__":
    main()
