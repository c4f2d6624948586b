"""Serving measurements and telemetry in the page: drawn where they were taken, and told in words."""

from __future__ import annotations

import json

import pytest

from pytest_llmeval.metrics.latency import Latencies, Spread
from pytest_llmeval.report import serving
from pytest_llmeval.report.plots import by_prompt_length
from pytest_llmeval.report.readings import read, readings_of, told
from pytest_llmeval.report.text import table_html
from pytest_llmeval.report.throughput import throughput_against_latency
from pytest_llmeval.report.timelines import POINTS, timelines
from pytest_llmeval.runs import load_run
from pytest_llmeval.schema import (
    Completion,
    Outcome,
    Padding,
    Prompt,
    PromptStyle,
    Record,
    RecordId,
    Sample,
    Verdict,
)
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
    [(title, rows, [conditions])] = serving.tables(levels)
    assert title == "many at a time"
    assert "prompts of 128 random tokens" in conditions
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
    [plot] = timelines(readings_of(run))
    assert plot.words == "m: device memory, GiB, at most 4.00; phases: load 1.0 s"


def test_a_device_that_is_read_more_rarely_than_another_is_not_missing_from_their_sum(watched):
    both = [device(0.0, 3.0, 0), device(0.0, 4.0, 1)]
    later = [device(0.1, 5.0, 0), {"type": "device", "at_s": 0.1, "device": 1}]
    run = watched({"type": "start", "model": "m", "devices": [{}, {}]}, *both, *later)
    assert readings_of(run)["m"].series["device memory, GiB"] == {0.0: 7.0, 0.1: 9.0}


def test_what_one_of_two_devices_does_not_tell_any_more_is_not_summed(watched):
    both = [device(0.0, 3.0, 0), device(0.0, 4.0, 1)]
    run = watched({"type": "start", "model": "m", "devices": [{}, {}]}, *both, device(60.0, 5.0, 0))
    assert readings_of(run)["m"].series["device memory, GiB"] == {0.0: 7.0}


def test_power_has_a_plot_of_its_own_where_it_was_read(watched):
    plots = list(timelines(readings_of(watched(device(0, 1, power_w=300.0), device(1, 1, power_w=450.0)))))
    assert [plot.words.split(", at")[0] for plot in plots] == [
        "m: device memory, GiB",
        "m: power of all devices, W",
    ]


def test_a_line_is_thinned_without_losing_its_peak(watched):
    run = watched(*(device(float(t), 70.0 if t == 4321 else 1.0) for t in range(9000)))
    [plot] = timelines(readings_of(run))
    assert "at most 70.00" in plot.words
    assert plot.drawing.count(",") < 3 * POINTS


def test_without_telemetry_there_is_no_timeline(tmp_path):
    assert read(tmp_path / "none.jsonl").series == {}


@pytest.mark.parametrize("spoiled", [bytes(40), b"\xff\xfe", b'{"type": "device"'])
def test_telemetry_that_a_crash_spoiled_costs_its_end_and_no_report(watched, spoiled):
    path = watched(device(0.0, 1.0), device(1.0, 2.0)).folder / "telemetry/m.jsonl"
    kept = path.read_bytes().rpartition(b"\n")[0]
    path.write_bytes(kept + b"\n" + spoiled + b"\n" + json.dumps(device(2.0, 9.0)).encode() + b"\n")
    assert read(path).series["device memory, GiB"] == {0.0: 1.0, 1.0: 2.0}


def item(task: str, sample: int, from_s: float, to_s: float) -> dict:
    names = {"problem_set": "set", "task_id": task, "sample": sample}
    return {"type": "item", **names, "from_s": from_s, "to_s": to_s}


START = {"type": "start", "model": "m", "devices": [{}, {}]}


def test_of_an_item_it_tells_what_the_devices_did_while_its_answers_were_drawn(watched):
    rows = [
        {**device(float(t), 10.0 * t, index, power_w=100.0 * t), "busy_percent": 50.0 + 10 * index}
        for t in range(6)
        for index in (0, 1)
    ]
    run = watched(START, *rows, item("t/0", 0, 1.5, 2.5), item("t/0", 1, 2.0, 3.0), item("t/1", 0, 7.0, 8.0))
    readings = readings_of(run)["m"]
    window = readings.window(RecordId("m", "set", "t/0"))
    assert told(window) == (
        "devices busy 55 % on average; power 500 W on average, 600 W at most; device memory 60.00 GiB at most (2 "
        "readings from 1.5 to 3.0 s after the model was opened)"
    )
    assert readings.window(RecordId("m", "set", "t/1")) is None, "nothing was read meanwhile: no zero"
    assert readings.window(RecordId("m", "set", "t/2")) is None


def test_accuracy_over_the_length_of_the_prompt_is_drawn_and_told(tmp_path):
    records = [
        Record("m", "long", f"t/{n}-{tokens}", Prompt(PromptStyle.CHAT, "p"), (
            Sample(0, Completion("x"), None, Verdict(Outcome.PASSED if n < right else Outcome.TIMEOUT)),
        ), Padding(tokens, "head"))
        for tokens, right in ((4000, 4), (64000, 1))
        for n in range(4)
    ]  # fmt: skip
    plot = by_prompt_length(load_run(write_run(tmp_path / "run", records)))
    assert plot.words == "m: 4K 100.0 % (51.0 to 100.0), 64K 25.0 % (4.6 to 69.9)"
    assert by_prompt_length(load_run(write_run(tmp_path / "one", records[:4]))) is None
