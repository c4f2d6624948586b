"""The physical cores of this machine: a sample that runs alone has one to itself, with all its hardware threads."""

from __future__ import annotations

import os
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"

Lane = tuple[int, ...]


def lanes() -> tuple[Lane, ...]:
    """The physical cores that this process may use, each as its processors; none where that is not known."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = os.sched_getaffinity(0)
    return tuple(sorted({tuple(sorted(_threads_beside(cpu) & allowed)) for cpu in allowed}))


def usable() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
