"""Memory and power of each model over time, with its phases, from telemetry/<model>.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmeval.report import svg
from pytest_llmeval.report.plots import Plot
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.store import file_name

POINTS = 300  # of a line; more would not be seen
GIB = 2**30
HEIGHT = 220


@dataclass
class Readings:
    """What one model's file holds: series by name, and its phases."""

    series: dict[str, dict[float, float]] = field(default_factory=dict)
    phases: list[tuple[str, float, float]] = field(default_factory=list)

    def add(self, name: str, at_s: float, value: float | None) -> None:
        """Readings of several devices at one moment are summed."""
        if value is not None:
            points = self.series.setdefault(name, {})
            points[at_s] = points.get(at_s, 0.0) + value


# Which series is drawn how; the first of the memories that there is is the one drawn.
MEMORIES = ("device memory, GiB", "host memory (RSS) of the engine, GiB")
POWER = "power of all devices, W"


def timelines(run: LoadedRun) -> Iterator[Plot]:
    """For each model that was watched: memory, and power where it was read."""
    for model in run.models:
        path = run.folder / "telemetry" / f"{file_name(model.spec.name)}.jsonl"
        readings = read(path)
        memory = next((name for name in MEMORIES if name in readings.series), None)
        for name in filter(None, (memory, POWER)):
            if len(readings.series.get(name, {})) > 1:
                yield _drawn(model.spec.name, name, readings)


def read(path: Path) -> Readings:
    """The series of one file; a line cut short by a crash is left out."""
    found = Readings()
    if not path.exists():
        return found
    with path.open(encoding="ascii") as lines:
        for line in lines:
            if line.endswith("\n"):
                _take(found, json.loads(line))
    return found


def _take(found: Readings, row: Mapping[str, Any]) -> None:
    if row["type"] == "device":
        found.add(MEMORIES[0], row["at_s"], _scaled(row.get("memory_used_bytes")))
        found.add(POWER, row["at_s"], row.get("power_w"))
    elif row["type"] == "host":
        found.add(MEMORIES[1], row["at_s"], _scaled(row.get("rss_bytes")))
    elif row["type"] == "phase":
        found.phases.append((row["name"], row["from_s"], row["to_s"]))


def _scaled(count: float | None) -> float | None:
    return None if count is None else count / GIB


def _drawn(model: str, name: str, readings: Readings) -> Plot:
    points = _thinned(sorted(readings.series[name].items()))
    end = max(points[-1][0], *(to for _, _, to in readings.phases), 1e-9)
    highest = max(value for _, value in points)
    chart = svg.Chart(
        svg.from_zero("seconds since the model was opened", end),
        svg.from_zero(name.rsplit(", ")[-1], highest),
        HEIGHT,
    )
    for phase, start, stop in readings.phases:
        chart.bar(start, 0, start, chart.y.high, 6)
        if (stop - start) / chart.x.high > 0.05:  # else its name would lie over the next one's
            chart.text(start, chart.y.high * 0.95, phase, dx=3)
    chart.line(points, 0)
    phases = ", ".join(f"{phase} {stop - start:.1f} s" for phase, start, stop in readings.phases)
    words = f"{model}: {name}, at most {highest:.2f}; phases: {phases or 'none'}"
    return Plot(f"{model}: {name}, with the beginnings of its phases", chart.svg(words, words), words)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS of them: of each stretch the highest, so that no peak is lost."""
    step = -(-len(points) // POINTS)
    stretches = (points[start : start + step] for start in range(0, len(points), step))
    return [(stretch[0][0], max(value for _, value in stretch)) for stretch in stretches]
