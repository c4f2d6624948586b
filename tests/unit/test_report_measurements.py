"""Serving measurements and telemetry in the page: drawn where they were taken, and told in words."""

from __future__ import annotations

import json

import pytest

from pytest_llmeval.metrics.latency import Latencies, Spread
from pytest_llmeval.report import serving
from pytest_llmeval.report.text import table_html
from pytest_llmeval.report.throughput import throughput_against_latency
from pytest_llmeval.report.timelines import POINTS, read, timelines
from pytest_llmeval.runs import load_run
from pytest_llmeval.serving.measurements import Measurement
from pytest_llmeval.testing.runs import write_run


def measurement(concurrency: int, tokens: int, tpot_s: float) -> Measurement:
    spread = Spread(4, tpot_s, tpot_s, tpot_s, tpot_s, tpot_s, tpot_s)
    times = Latencies(spread, spread, spread, spread)
    return Measurement("throughput", "m<b>", 128, tokens // 4, 4, 0, 2.0, concurrency, None, tokens, times)


def test_throughput_is_drawn_against_latency_level_by_level():
    found = [measurement(1, 40, 0.005), measurement(8, 400, 0.02)]
    plot = throughput_against_latency(found)
    assert plot is not None
    assert plot.words == "m<b>: 1 at a time 20 tok/s, 5.0 ms a token, 8 at a time 200 tok/s, 20.0 ms a token"
    assert "<b>" not in plot.drawing


def test_each_kind_of_measurement_has_a_table_and_the_knee_is_marked():
    levels = [measurement(1, 40, 0.005), measurement(8, 400, 0.02), measurement(16, 404, 0.04)]
    [(title, rows)] = serving.tables(levels)
    assert title == "many at a time"
    assert [row[1] for row in rows[1:]] == ["1", "8 (knee)", "16"]
    assert rows[2][:1] + rows[2][2:4] == ("m<b>", "4", "200 tok/s")
    assert "<b>" not in table_html(rows)


def test_without_measurements_nothing_is_drawn():
    assert throughput_against_latency([]) is None


@pytest.fixture
def watched(tmp_path):
    """A run with one model whose telemetry is the rows given."""

    def make(*rows: dict):
        folder = write_run(tmp_path / "run", [], models={"m": {"name": "m", "model": "x"}}, selected={"m": 0})
        (folder / "telemetry").mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "telemetry" / "m.jsonl").write_text(lines + '{"type": "dev')
        return load_run(folder)

    return make


def device(at_s: float, gib: float, index: int = 0, power_w: float | None = None) -> dict:
    used = int(gib * 2**30)
    return {"type": "device", "at_s": at_s, "device": index, "memory_used_bytes": used, "power_w": power_w}


def test_memory_of_several_devices_is_summed_and_phases_are_named(watched):
    rows = [device(t, 1.0 + t, index) for t in (0.0, 1.0) for index in (0, 1)]
    run = watched(*rows, {"type": "phase", "name": "load", "from_s": 0.0, "to_s": 1.0})
    [plot] = timelines(run)
    assert plot.words == "m: device memory, GiB, at most 4.00; phases: load 1.0 s"


def test_power_has_a_plot_of_its_own_where_it_was_read(watched):
    plots = list(timelines(watched(device(0, 1, power_w=300.0), device(1, 1, power_w=450.0))))
    assert [plot.words.split(", at")[0] for plot in plots] == [
        "m: device memory, GiB",
        "m: power of all devices, W",
    ]


def test_a_line_is_thinned_without_losing_its_peak(watched):
    run = watched(*(device(float(t), 70.0 if t == 4321 else 1.0) for t in range(9000)))
    [plot] = timelines(run)
    assert "at most 70.00" in plot.words
    assert plot.drawing.count(",") < 3 * POINTS


def test_without_telemetry_there_is_no_timeline(tmp_path):
    assert read(tmp_path / "none.jsonl").series == {}
