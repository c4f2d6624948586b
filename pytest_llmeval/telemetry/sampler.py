"""A thread that reads devices and processes at a set rate, and never ends because a reading failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from pytest_llmeval.telemetry.readings import DeviceReading, HostReading

Reading = DeviceReading | HostReading
DEAR_EVERY_S = 1.0  # what a driver takes its time for; the ends of a phase have it in any case
HOST_EVERY_S = 0.5  # a file or two of /proc for each process of the group
FAILURES_KEPT = 10


class DeviceSource(Protocol):
    def read(self, at_s: float, *, with_dear: bool = True) -> DeviceReading: ...


class HostSource(Protocol):
    def read(self, at_s: float, *, with_pss: bool = False) -> HostReading: ...


class Sampler:
    """Reads all sources every 1/rate_hz seconds and hands the readings on; `clock` is in seconds.

    `take` is called by one thread at a time. `cpu_s` is what the thread has used, to be held against its price.
    """

    def __init__(
        self,
        devices: Sequence[DeviceSource],
        host: HostSource | None,
        take: Callable[[Reading], None],
        *,
        rate_hz: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._devices = devices
        self._host = host
        self._take = take
        self._period_s = 1 / rate_hz
        self._clock = clock
        self._dear_at = self._host_at = float("-inf")
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self.cpu_s = 0.0
        self.failures: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits until the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def sample(self, *, with_pss: bool = False) -> None:
        """Read everything now, in the caller's thread: for the boundaries of a phase."""
        with self._reading:
            self._sample(with_pss=with_pss, everything=True)

    def _run(self) -> None:
        due = self._clock()
        while not self._stop.is_set():
            with self._reading:
                self._sample(with_pss=False, everything=False)
            self.cpu_s = time.thread_time()
            # What was missed on a loaded machine is not made up for in a burst.
            due = max(due + self._period_s, self._clock())
            self._stop.wait(due - self._clock())

    def _sample(self, *, with_pss: bool, everything: bool) -> None:
        now = self._clock()
        with_dear = everything or now - self._dear_at >= DEAR_EVERY_S
        hosting = everything or now - self._host_at >= HOST_EVERY_S
        self._dear_at = now if with_dear else self._dear_at
        self._host_at = now if hosting else self._host_at
        try:
            if self._host and hosting:
                self._take(self._host.read(now, with_pss=with_pss))
            for device in self._devices:
                self._take(device.read(now, with_dear=with_dear))
        except Exception as error:  # a broken driver or disk must not end what is measured
            self._remember(f"{type(error).__name__}: {error}")

    def _remember(self, failure: str) -> None:
        if failure not in self.failures and len(self.failures) < FAILURES_KEPT:
            self.failures.append(failure)
