"""The serving suites' throughput against latency, drawn."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmeval.report import svg
from pytest_llmeval.report.plots import Plot
from pytest_llmeval.serving.measurements import Measurement


def throughput_against_latency(found: Sequence[Measurement]) -> Plot | None:
    """Per model a line over its levels of concurrency; None where there are none."""
    lines: dict[str, list[tuple[float, float, int]]] = {}
    for one in found:
        spread = one.latencies.tpot_s if one.latencies else None
        if one.kind == "throughput" and one.output_tok_s and one.concurrency and spread:
            lines.setdefault(one.model, []).append((one.output_tok_s, 1000 * spread.p95, one.concurrency))
    if not lines:
        return None
    points = [point for each in lines.values() for point in each]
    chart = svg.Chart(
        svg.from_zero("output of all requests, tok/s", max(x for x, _, _ in points)),
        svg.from_zero("time per output token, p95, ms", max(y for _, y, _ in points)),
    )
    words = [
        _draw(chart, index, name, sorted(lines[name], key=lambda p: p[2])) for index, name in enumerate(lines)
    ]
    chart.legend(list(enumerate(lines)))
    title = "Throughput against latency: each point is a number of requests at a time; to the right and low is better"
    return Plot(title, chart.svg(title, "; ".join(words)), "; ".join(words))


def _draw(chart: svg.Chart, series: int, name: str, points: Sequence[tuple[float, float, int]]) -> str:
    chart.line([(x, y) for x, y, _ in points], series)
    told = [f"{level} at a time {x:.0f} tok/s, {y:.1f} ms a token" for x, y, level in points]
    for (x, y, level), said in zip(points, told, strict=True):
        chart.mark(x, y, series, f"{name}: {said}")
        chart.text(x, y, str(level))
    return f"{name}: {', '.join(told)}"
