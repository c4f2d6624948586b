"""A thread that reads devices and processes at a set rate, and never ends because a reading failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from pytest_llmeval.telemetry.pace import Pace
from pytest_llmeval.telemetry.readings import DeviceReading, HostReading

Reading = DeviceReading | HostReading
HOST_EVERY_S = 0.5  # at most: a file or two of /proc for each process of the group
HOST_SHARE = 0.002  # of a core
PSS_SHARE = 0.002  # of a core: it is read at the ends of phases
SAMPLER_SHARE = 0.007  # of a core, for all that the thread does: reading, tallying, writing down
CREDIT_S = 1.0  # of pauses: a round with something dear in it delays no other
FAILURES_KEPT = 10


class DeviceSource(Protocol):
    def read(self, at_s: float, *, everything: bool = True) -> DeviceReading: ...


class HostSource(Protocol):
    def read(self, at_s: float, *, with_pss: bool = False) -> HostReading: ...


class Sampler:
    """Reads all sources every 1/rate_hz seconds, or more rarely where that would cost more than SAMPLER_SHARE.

    `take` is called with each reading, by one thread at a time; `clock` and `cpu_clock` are in seconds. `rounds` is
    what the thread's rounds have cost, `ends` what was read besides at the ends of phases: those must not silence
    the phase that follows, so they pause nothing. `hosting` is the host's part of both; a reading with PSS is counted
    in `with_pss` alone.
    """

    def __init__(
        self,
        devices: Sequence[DeviceSource],
        host: HostSource | None,
        take: Callable[[Reading], None],
        *,
        rate_hz: float,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._devices = devices
        self._host = host
        self._take = take
        self._period_s = 1 / rate_hz
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._host_at = float("-inf")
        self.hosting = Pace(HOST_SHARE)
        self.with_pss = Pace(PSS_SHARE)
        self.rounds = Pace(SAMPLER_SHARE, CREDIT_S)
        self.ends = Pace(1.0)
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self.failures: list[str] = []

    @property
    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        return self.rounds.cpu_s + self.ends.cpu_s + self.with_pss.cpu_s

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits until the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def sample(self, *, with_pss: bool = False) -> None:
        """Read everything now, in the caller's thread: for the boundaries of a phase.

        PSS is left out where the last one was too dear to be due again.
        """
        with self._reading:
            self._sample(with_pss=with_pss, everything=True)

    def _run(self) -> None:
        due = self._clock()
        while not self._stop.is_set():
            with self._reading:
                self._sample(with_pss=False, everything=False)
            # What was missed on a loaded machine is not made up for in a burst.
            due = max(due + self._period_s, self.rounds.due_at, self._clock())
            self._stop.wait(due - self._clock())

    def _sample(self, *, with_pss: bool, everything: bool) -> None:
        now, before, apart_s = self._clock(), self._cpu_clock(), 0.0
        try:
            if self._host and (everything or self._host_is_due(now)):
                apart_s = self._read_host(self._host, now, with_pss and self.with_pss.due(now))
            for device in self._devices:
                self._take(device.read(now, everything=everything))
        except Exception as error:  # a broken driver or disk must not end what is measured
            self._remember(f"{type(error).__name__}: {error}")
        (self.ends if everything else self.rounds).spent(now, self._cpu_clock() - before - apart_s)

    def _read_host(self, host: HostSource, now: float, with_pss: bool) -> float:
        """Gives what is no part of a round's cost."""
        self._host_at, before = now, self._cpu_clock()
        self._take(host.read(now, with_pss=with_pss))
        cpu_s = self._cpu_clock() - before
        (self.with_pss if with_pss else self.hosting).spent(now, cpu_s)
        return cpu_s if with_pss else 0.0

    def _host_is_due(self, now: float) -> bool:
        return now - self._host_at >= HOST_EVERY_S and self.hosting.due(now)

    def _remember(self, failure: str) -> None:
        if failure not in self.failures and len(self.failures) < FAILURES_KEPT:
            self.failures.append(failure)
