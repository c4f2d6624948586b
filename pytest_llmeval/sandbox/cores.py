"""Which cores a sample that runs alone has to itself, and which are left to the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@dataclass(frozen=True, slots=True)
class Lanes:
    """A physical core, all its threads, and the rest of the machine."""

    alone: tuple[int, ...]
    others: tuple[int, ...]


def lanes() -> Lanes | None:
    """A core to spare among those that this process may use; None where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = os.sched_getaffinity(0)
    core = _threads_beside(max(allowed)) & allowed
    others = allowed - core
    return Lanes(tuple(sorted(core)), tuple(sorted(others))) if others else None


def _threads_beside(cpu: int) -> set[int]:
    """The hardware threads of a processor's core; where the system does not tell, we assume the worst."""
    try:
        text = Path(_TOPOLOGY.format(cpu)).read_text()
    except OSError:
        return set(range(4096))
    return {n for span in text.strip().split(",") for n in _numbers(span)}


def _numbers(span: str) -> range:
    """`"3"` or `"2-5"`."""
    first, _, last = span.partition("-")
    return range(int(first), int(last or first) + 1)
