"""What was seen of one model over time, read back from telemetry/<model>.jsonl."""

from __future__ import annotations

import contextlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.schema import RecordId
from pytest_llmeval.store import file_name
from pytest_llmeval.store.lines import whole_lines
from pytest_llmeval.telemetry.pace import LONGEST_S
from pytest_llmeval.units import GIB

DEVICE_MEMORY = "device memory, GiB"
HOST_MEMORY = "host memory (RSS) of the engine, GiB"
POWER = "power of all devices, W"
BUSY = "busy, %"
HELD_S = 2 * LONGEST_S  # a reading waits so long for the next at most, and some time for its turn


@dataclass(frozen=True)
class Window:
    """What was read between two moments, in seconds since the model was opened."""

    from_s: float
    to_s: float
    values: Mapping[str, list[float]]


@dataclass
class Readings:
    """Series by name, as moment → value, the phases, and when the answers of each item were drawn.

    Memory and power of several devices at one moment are summed, their busy shares averaged. What is dear to read
    is read more rarely, of each device by itself: between two readings the last one holds, for `HELD_S`; a moment
    at which one device is not known is left out.
    """

    model: str = ""
    series: dict[str, dict[float, float]] = field(default_factory=dict)
    phases: list[tuple[str, float, float]] = field(default_factory=list)
    drawn: dict[RecordId, tuple[float, float]] = field(default_factory=dict)
    _devices: int = 1
    _last: dict[str, dict[int, tuple[float, float]]] = field(
        default_factory=dict
    )  # moment and value by device
    _moments: dict[str, list[float]] = field(default_factory=dict)

    def window(self, name: RecordId) -> Window | None:
        """What was read while an item's answers were drawn; None where that was not noted, or nothing was read."""
        if (span := self.drawn.get(name)) is None:
            return None
        values = {series: read for series in self.series if (read := self._between(series, *span))}
        return Window(*span, values) if values else None

    def _between(self, series: str, start: float, end: float) -> list[float]:
        points = self.series[series]
        moments = self._moments.setdefault(series, sorted(points))
        return [points[at] for at in moments[bisect_left(moments, start) : bisect_right(moments, end)]]

    def take(self, row: Mapping[str, Any]) -> None:
        """One line of the file."""
        kind = row["type"]
        if kind == "device":
            device, at_s, busy = row["device"], row["at_s"], row.get("busy_percent")
            self._add(DEVICE_MEMORY, device, at_s, _gib(row.get("memory_used_bytes")))
            self._add(POWER, device, at_s, row.get("power_w"))
            self._add(BUSY, device, at_s, None if busy is None else busy / self._devices)
        elif kind == "host" and (held := _gib(row.get("rss_bytes"))) is not None:
            self.series.setdefault(HOST_MEMORY, {})[row["at_s"]] = held
        elif kind == "phase":
            self.phases.append((row["name"], row["from_s"], row["to_s"]))
        elif kind == "item" and "from_s" in row:
            self._note(RecordId(self.model, row["problem_set"], row["task_id"]), row["from_s"], row["to_s"])
        elif kind == "start":
            self.model, self._devices = row["model"], len(row["devices"]) or 1

    def _add(self, name: str, device: int, at_s: float, value: float | None) -> None:
        if value is None:
            return
        last = self._last.setdefault(name, {})
        last[device] = at_s, value
        known = [read for read_at_s, read in last.values() if at_s - read_at_s <= HELD_S]
        if len(known) >= self._devices:
            self.series.setdefault(name, {})[at_s] = sum(known)

    def _note(self, name: RecordId, from_s: float, to_s: float) -> None:
        """Of several samples: from the first one's beginning to the last one's end."""
        known = self.drawn.get(name, (from_s, to_s))
        self.drawn[name] = (min(known[0], from_s), max(known[1], to_s))


def read(path: Path) -> Readings:
    """The readings of one file; a line that a crash cut short or spoiled is left out, with what is behind it."""
    found = Readings()
    if not path.exists():
        return found
    with path.open("rb") as file, contextlib.suppress(ValueError):
        for _, line in whole_lines(file):
            found.take(json.loads(line))
    return found


def readings_of(run: LoadedRun) -> dict[str, Readings]:
    """Of every model that was watched."""
    folder = run.folder / "telemetry"
    return {m.spec.name: read(folder / f"{file_name(m.spec.name)}.jsonl") for m in run.models}


def told(window: Window) -> str:
    """A window in words; on a batch its readings are shared with whatever else was under way."""
    series = window.values
    parts = []
    if busy := series.get(BUSY):
        parts.append(f"devices busy {fmean(busy):.0f} % on average")
    if power := series.get(POWER):
        parts.append(f"power {fmean(power):.0f} W on average, {max(power):.0f} W at most")
    for name, words in ((DEVICE_MEMORY, "device memory"), (HOST_MEMORY, "host memory of the engine")):
        if held := series.get(name):
            parts.append(f"{words} {max(held):.2f} GiB at most")
    count = max(map(len, series.values()))
    return (
        f"{'; '.join(parts)} ({count} readings from {window.from_s:.1f} to {window.to_s:.1f} s after the model was "
        "opened)"
    )


def _gib(count: float | None) -> float | None:
    return None if count is None else count / GIB
