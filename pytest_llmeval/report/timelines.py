"""Memory and power of each model over time, with its phases, from telemetry/<model>.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_llmeval.report import svg
from pytest_llmeval.report.plots import Plot
from pytest_llmeval.report.readings import DEVICE_MEMORY, HOST_MEMORY, POWER, Readings

POINTS = 300  # of a line; more would not be seen
HEIGHT = 220


def timelines(readings: Mapping[str, Readings]) -> Iterator[Plot]:
    """For each model that was watched: memory of the device, else of the host, and power where it was read."""
    for model, found in readings.items():
        memory = next((name for name in (DEVICE_MEMORY, HOST_MEMORY) if name in found.series), None)
        for name in filter(None, (memory, POWER)):
            if len(found.series.get(name, {})) > 1:
                yield _drawn(model, name, found)


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
