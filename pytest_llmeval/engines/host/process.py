"""One engine host as pytest sees it: a child process in a group of its own, and the thread that listens to it."""

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
from pathlib import Path
from typing import Protocol

import psutil

from pytest_llmeval.engines.host import protocol

WORKER = "pytest_llmeval.engines.host.worker"
GONE_WITHIN_S = 30.0
IMPORTING, LOADING = "importing", "loading"


class Owner(Protocol):
    """Who gets what a host says; both are called in the host's listening thread."""

    def heard(self, message: protocol.FromHost) -> None: ...

    def died(self, host: Host) -> None:
        """The process is gone, and `host.cause` says why."""


class Host:
    """One host process.

    `settled` is set once loading has ended, well or badly; `dead` once the process is gone. `died_importing`:
    it ended before it looked at the model, which is therefore not to blame. `cause` is why it ended, in the
    engine's own words where it had any; `sentenced` is true where we ended it.
    """

    def __init__(self, driver: str, environment: Mapping[str, str], log_path: Path, owner: Owner) -> None:
        self.stage = IMPORTING
        self.ready: protocol.Ready | None = None
        self.settled = threading.Event()
        self.dead = threading.Event()
        self.died_importing = False
        self.cause = ""
        self.sentenced = False
        self.started_at = self.alive_at = time.monotonic()
        self._owner = owner
        self._sending = threading.Lock()
        self._socket, childs_end = socket.socketpair()
        keepers_end, self._lifeline = os.pipe()
        with log_path.open("ab") as log, childs_end:
            fds = [childs_end.fileno(), keepers_end]
            self.process = subprocess.Popen(
                [sys.executable, "-m", WORKER, *map(str, fds), driver],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            )
        os.close(keepers_end)
        self._listener = threading.Thread(target=self._listen, name=f"host-{self.process.pid}", daemon=True)
        self._listener.start()

    def send(self, message: protocol.ToHost) -> None:
        with self._sending, contextlib.suppress(OSError):  # the listener reports the death
            self._socket.sendall(protocol.encode(message))

    def kill(self, cause: str) -> None:
        """End the whole group; `cause` is what it is said to have died of."""
        if self.dead.is_set():  # its number may be another's by now
            return
        self.sentenced = True
        self.cause = self.cause or cause
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the group and wait until it is gone."""
        self.kill("the engine was closed")
        self._listener.join()
        wait_until_gone(self.process.pid)

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._receive(protocol.decode(line))
        # Its socket has ended, or it sent nonsense: either way nothing more can be had from it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._bury(self.process.wait())

    def _receive(self, message: protocol.FromHost) -> None:
        quiet_s = message.quiet_s if isinstance(message, protocol.Alive) else 0.0
        self.alive_at = max(self.alive_at, time.monotonic() - quiet_s)
        match message:
            case protocol.Imported():
                self.stage = LOADING
            case protocol.Ready():
                self.ready = message
                self.settled.set()
            case protocol.Failed(error=error):
                self.cause = self.cause or error
        self._owner.heard(message)

    def _bury(self, status: int) -> None:
        os.close(self._lifeline)
        with self._sending:
            self._socket.close()
        self.died_importing = self.stage == IMPORTING and not self.cause
        self.cause = self.cause or f"the engine host died ({describe_exit(status)})"
        self.dead.set()
        self._owner.died(self)
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
