"""What runs on a node to hold an engine: its host process, and a relay to pytest. Knows nothing of ray."""

from __future__ import annotations

import os
import platform
import queue
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_llmeval.engines.host.child import Child, describe_exit, wait_until_gone
from pytest_llmeval.ray_cluster.scoring_actor import take_signals_again

HEARD_WITHIN_S = 5.0
LOG_BYTES = 1 << 20  # of the log that travel at a time


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a host was started."""

    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a host has said since it was last asked: messages, its log, and how it ended (None: it runs)."""

    lines: tuple[bytes, ...]
    log: bytes
    ended: str | None = None


class HostActor:
    """Starts one engine host and passes on what it and pytest say, line by line, unread.

    Whatever ends this process ends the host: the pipe that its keeper waits for ends too, and the keeper kills
    the host's group. Its methods are called from threads of their own, `hear` from one at a time.
    """

    def __init__(self) -> None:
        self._child: Child | None = None
        self._said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._log = -1
        self._ended = ""

    def start(self, driver: str, environment: Mapping[str, str], after: Placed | None) -> Placed:
        """Start the host; `after` is one that was lost: where it was on this node, wait until it is gone."""
        take_signals_again()
        here = platform.node()
        if after is not None and after.host == here:
            wait_until_gone(after.pid)
        file, name = tempfile.mkstemp(prefix="llmeval-host-", suffix=".log")
        self._log = file
        try:
            self._child = Child(driver, {**_path(), **environment}, Path(name))
        finally:
            Path(name).unlink()  # it lives as long as somebody writes or reads it, and is nobody's afterwards
        threading.Thread(target=self._listen, args=(self._child,), daemon=True).start()
        return Placed(here, self._child.pid)

    def tell(self, lines: bytes) -> None:
        """Pass messages on to the host."""
        assert self._child is not None
        self._child.send(lines)

    def hear(self) -> Heard:
        """What the host has said; waits a while where it says nothing."""
        said = []
        try:
            said.append(self._said.get(timeout=HEARD_WITHIN_S))
            while not self._said.empty():
                said.append(self._said.get())
        except queue.Empty:
            pass
        lines = tuple(line for line in said if line is not None)
        if None in said:
            return Heard(lines, b"".join(iter(self._new_log, b"")), self._ended)
        return Heard(lines, self._new_log())

    def end(self) -> None:
        """Kill the host's group; `hear` then tells its end."""
        if self._child is not None:
            self._child.kill()

    def _listen(self, child: Child) -> None:
        for line in child.lines():
            self._said.put(line)
        self._ended = f"the engine host died ({describe_exit(child.bury())})"
        wait_until_gone(child.pid)
        self._said.put(None)

    def _new_log(self) -> bytes:
        """What was added to the log; this descriptor has a place of its own in it."""
        return os.read(self._log, LOG_BYTES)


def _path() -> dict[str, str]:
    """This node's programs, those of the environment that runs this first."""
    return {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])}
