"""A host process and what holds it: its group, its socket, its lifeline. Whoever starts it is called its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import psutil

WORKER = "pytest_llmeval.engines.host.worker"
GONE_WITHIN_S = 30.0


class Child:
    """A running host. It ends with its parent, however that ends; its `pid` is also the id of its group."""

    def __init__(self, driver: str, environment: Mapping[str, str], log_path: Path) -> None:
        """Raises OSError where the system has no process, no memory or no file for it."""
        self._sending = threading.Lock()
        self._socket, childs_end = socket.socketpair()
        keepers_end, self._lifeline = os.pipe()
        try:
            with log_path.open("ab") as log, childs_end:
                fds = [childs_end.fileno(), keepers_end]
                self._process = _start([*map(str, fds), driver], fds, log, environment)
        except BaseException:
            self._socket.close()
            os.close(self._lifeline)
            raise
        finally:
            os.close(keepers_end)
        self.pid = self._process.pid

    def send(self, lines: bytes) -> None:
        """Pass on whole messages; one that is gone is told by the end of `lines`."""
        with self._sending, contextlib.suppress(OSError):
            self._socket.sendall(lines)

    def lines(self) -> Iterator[bytes]:
        """What it says, a message a line, until its socket ends."""
        with contextlib.suppress(OSError), self._socket.makefile("rb") as lines:
            yield from lines

    def kill(self) -> None:
        """End the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def bury(self) -> int:
        """End it, give back what it held; its status as Popen tells it."""
        self.kill()
        status = self._process.wait()
        os.close(self._lifeline)
        with self._sending:
            self._socket.close()
        return status


def _start(
    arguments: list[str], fds: list[int], log: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", WORKER, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=fds,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )


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
    """`signal SIGKILL` or `exit status 3`, from a Popen return code; real-time signals have numbers only."""
    if status >= 0:
        return f"exit status {status}"
    known = {one.value: one.name for one in signal.Signals}
    return f"signal {known.get(-status, -status)}"
