"""One engine host as pytest sees it, and the usual kind: a child of this process with a thread that listens to it."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.child import Child, describe_exit, wait_until_gone
from pytest_llmeval.engines.host.memory_killer import KillCounts
from pytest_llmeval.engines.host.stages import LOADING

IMPORTING = "importing"


class Owner(Protocol):
    """Who gets what a host says; both are called in the host's listening thread."""

    def heard(self, message: protocol.FromHost) -> None: ...

    def died(self, host: Host) -> None:
        """The process is gone, and `host.cause` says why."""


class Host(ABC):
    """One host process, wherever it runs.

    `settled` is set once loading has ended, well or badly; `dead` once the process is gone. `died_importing`:
    it ended before it looked at the model, which is therefore not to blame. `cause` is why it ended, in the
    engine's own words where it had any; `sentenced` is true where we ended it. `pid` is the id of its process
    and of its group on its machine; -1 while it has none.
    """

    def __init__(self, owner: Owner) -> None:
        self.stage = IMPORTING
        self.ready: protocol.Ready | None = None
        self.settled = threading.Event()
        self.dead = threading.Event()
        self.died_importing = False
        self.cause = ""
        self.sentenced = False
        self.started_at = self.alive_at = time.monotonic()
        self.pid = -1
        self._owner = owner

    @abstractmethod
    def send(self, message: protocol.ToHost) -> None:
        """Pass a message on; never blocks for long. A host that is gone gets nothing, and its death is told."""

    @abstractmethod
    def close(self) -> None:
        """End the host with everything it started, and wait until it is gone."""

    @abstractmethod
    def _end(self) -> None:
        """End the host with everything it started."""

    def kill(self, cause: str) -> None:
        """End the whole group; `cause` is what it is said to have died of."""
        if self.dead.is_set():  # its number may be another's by now
            return
        self.sentenced = True
        self.cause = self.cause or cause
        self._end()

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

    def _is_gone(self, how: str) -> None:
        """Tell its death; `how` it ended counts where nobody knows more."""
        self.died_importing = self.stage == IMPORTING and not self.cause
        self.cause = self.cause or how
        self.dead.set()
        self._owner.died(self)
        self.settled.set()


class ChildHost(Host):
    """A host that is a child of this process."""

    def __init__(self, driver: str, environment: Mapping[str, str], log_path: Path, owner: Owner) -> None:
        """Raises OSError where there is no process or file for it, RuntimeError where there is no thread."""
        super().__init__(owner)
        self._kills = KillCounts.now()
        self._child = Child(driver, environment, log_path)
        self.pid = self._child.pid
        self._listener = threading.Thread(target=self._listen, name=f"host-{self.pid}", daemon=True)
        try:
            self._listener.start()
        except BaseException:  # no room for a thread: nobody would end the process
            self._child.bury()
            raise

    def send(self, message: protocol.ToHost) -> None:
        self._child.send(protocol.encode(message))

    def close(self) -> None:
        self.kill("the engine was closed")
        self._listener.join()
        wait_until_gone(self.pid)

    def _end(self) -> None:
        self._child.kill()

    def _listen(self) -> None:
        try:
            for line in self._child.lines():
                self._receive(protocol.decode(line))
        except Exception as error:  # it sent nonsense: nothing more can be had from it
            self.cause = self.cause or f"what the engine host said was not understood: {error}"
        how = describe_exit(self._child.bury())
        killer = "" if self.sentenced else KillCounts.now().since(self._kills)
        self._is_gone(f"the engine host died ({' '.join(filter(None, (how, killer)))})")
