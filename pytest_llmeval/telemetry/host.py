"""Host memory and CPU time of an engine's process group, through psutil."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import psutil

from pytest_llmeval.telemetry.readings import HostReading

# Finding the group means asking for every process of the machine: done once a second at most.
REGROUP_S = 1.0


class HostGroup:
    """The processes of one group, whose leader is `leader()`: members come and go, and a host may be replaced."""

    def __init__(self, leader: Callable[[], int], pids: Callable[[], list[int]] = psutil.pids) -> None:
        self._leader = leader
        self._pids = pids
        self._members: dict[int, psutil.Process] = {}
        self._looked_at: float | None = None
        self._ended_cpu_s = 0.0  # of members that are gone
        self._cpu_s: dict[int, float] = {}

    def ids(self) -> set[int]:
        """Process ids as of the last look."""
        return set(self._members)

    def read(self, at_s: float, *, with_pss: bool = False) -> HostReading:
        """One reading. `with_pss` walks page tables: milliseconds a process, so rarely."""
        if self._looked_at is None or at_s - self._looked_at >= REGROUP_S:
            self._regroup(at_s)
        rss = [
            value for process in self._members.values() if (value := self._rss_and_cpu(process)) is not None
        ]
        pss = [self._pss(process) for process in self._members.values()] if with_pss else []
        known = [value for value in pss if value is not None]
        return HostReading(
            at_s,
            len(rss),
            rss_bytes=sum(rss) if rss else None,
            pss_bytes=sum(known) if known and len(known) == len(pss) else None,
            cpu_s=self._ended_cpu_s + sum(self._cpu_s.values()) if self._cpu_s or self._ended_cpu_s else None,
        )

    def _regroup(self, at_s: float) -> None:
        self._looked_at = at_s
        found = {pid for pid in self._pids() if self._belongs(pid)}
        for pid in set(self._members) - found:
            del self._members[pid]
            self._ended_cpu_s += self._cpu_s.pop(pid, 0.0)
        for pid in found - set(self._members):
            with contextlib.suppress(psutil.Error):
                self._members[pid] = psutil.Process(pid)

    def _belongs(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) == self._leader()
        except OSError:
            return False

    def _rss_and_cpu(self, process: psutil.Process) -> int | None:
        try:
            with process.oneshot():
                times = process.cpu_times()
                self._cpu_s[process.pid] = times.user + times.system
                return int(process.memory_info().rss)
        except psutil.Error:
            return None

    def _pss(self, process: psutil.Process) -> int | None:
        try:
            return int(process.memory_full_info().pss)
        except (psutil.Error, AttributeError):  # no permission, or a system without it
            return None
