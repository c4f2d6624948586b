"""The kernel's out-of-memory killer leaves no word in a log: its counters tell whether it was at work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_llmeval.units import GIB

ROOT = Path("/")


@dataclass(frozen=True)
class KillCounts:
    """How many processes the killer has ended: in this process's cgroup, as containers are, and on the machine.

    None where the kernel does not tell. `limit_bytes` is what the cgroup may hold; None: no limit of its own.
    """

    here: int | None
    anywhere: int | None
    limit_bytes: int | None

    @classmethod
    def now(cls, root: Path = ROOT) -> KillCounts:
        """The counts at this moment, from cgroup v2's or v1's files below `root`."""
        anywhere = _counter(root / "proc/vmstat")
        for folder in _cgroups(root):
            for events, limit in (
                ("memory.events", "memory.max"),
                ("memory.oom_control", "memory.limit_in_bytes"),
            ):
                if (here := _counter(folder / events)) is not None:
                    return cls(here, anywhere, _limit(folder / limit))
        return cls(None, anywhere, None)

    def since(self, before: KillCounts) -> str:
        """What happened since `before`, in words; empty where the killer was not seen."""
        if _rose(before.here, self.here):
            limit = "" if self.limit_bytes is None else f": {self.limit_bytes / GIB:.3g} GiB"
            return f"by the out-of-memory killer, at the memory limit of this container{limit}"
        if _rose(before.anywhere, self.anywhere):
            return "most likely by the out-of-memory killer, which ended a process of this machine meanwhile"
        return ""


def _rose(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders of this process's cgroup; in a container its path may be told as the outside sees it."""
    lines = ""
    with contextlib.suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text()
    for line in lines.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers in ("", "memory"):
            mount = root / "sys/fs/cgroup" / controllers
            yield mount / path.strip("/")
            yield mount


def _counter(file: Path) -> int | None:
    """The number behind `oom_kill`."""
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


def _limit(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        limit = int(file.read_text())
        return limit if limit < 1 << 60 else None  # v1 has no word for none
    return None
