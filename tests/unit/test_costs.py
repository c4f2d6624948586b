"""What a model cost: one reading of its telemetry, which summary.json, the leaderboard and the reference table show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from pytest_llmeval.engines import EngineInfo, EngineStatus
from pytest_llmeval.gate.reading import read_run
from pytest_llmeval.metrics.latency import Latencies, Spread
from pytest_llmeval.report import costs, speed
from pytest_llmeval.report.markdown import session_report
from pytest_llmeval.report.rebuild import rebuild
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.schema import (
    Completion,
    MemoryBreakdown,
    Outcome,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Timing,
    Verdict,
)
from pytest_llmeval.serving.measurements import Measurement, append
from pytest_llmeval.store import RunStore
from pytest_llmeval.telemetry.figures import DeviceFigures, HostFigures, PhaseFigures
from pytest_llmeval.telemetry.nvml import GpuFacts
from pytest_llmeval.telemetry.watch import ModelTelemetry
from pytest_llmeval.testing.runs import write_run
from pytest_llmeval.units import GIB

GPU = GpuFacts(0, "NVIDIA H100 80GB HBM3", "GPU-1", 80 * GIB, None, 700.0, False)
BATCH = PhaseFigures(
    "batch",
    10.0,
    (DeviceFigures(0, 100, memory_peak_bytes=70 * GIB, busy_percent=95.0, energy_j=4000.0, energy_source="counter"),),
    HostFigures(rss_peak_bytes=2 * GIB, cpu_s=5.0),
)  # fmt: skip
MEMORY = MemoryBreakdown("device", weights_bytes=15 * GIB, kv_pool_bytes=50 * GIB, activation_peak_bytes=GIB)


def record(number: int, tokens: int = 500) -> Record:
    completion = Completion("x", "stop", 5, tokens, timing=Timing(4, 0.1, 0.2, 1.0, 1.3))
    sample = Sample(0, completion, None, Verdict(Outcome.PASSED))
    return Record("m", "set", f"t/{number}", Prompt(PromptStyle.COMPLETION, "p"), (sample,))


@pytest.fixture
def a_run(tmp_path):
    """A run of one model with two answers of 500 tokens, and the telemetry given."""
    number = count()

    def make(
        telemetry: ModelTelemetry | None,
        memory: MemoryBreakdown | None = MEMORY,
        probe: Sequence[Completion] = (),
        records: Sequence[Record] = (record(1), record(2)),
        **spec: object,
    ) -> LoadedRun:
        folder = write_run(
            tmp_path / f"run{next(number)}",
            records,
            models={"m": {"name": "m", "model": "x", **spec}},
            engines={"m": EngineInfo(memory=memory)},
        )
        if telemetry is not None:
            status = EngineStatus(kv_peak_tokens=4000, kv_peak_share=0.1)
            (folder / "telemetry").mkdir()
            store = RunStore(folder)
            store.write_json("telemetry/m.json", {"telemetry": telemetry, "status": status})
            (folder / "engine").mkdir()
            store.write_json("engine/m.probe.json", {"completions": probe})
            store.close()
        return load_run(folder)

    return make  # fmt: skip


def test_energy_memory_and_utilisation_are_the_batchs(a_run):
    found = a_run(ModelTelemetry(10.0, (GPU,), "1", (BATCH,), output_tokens=1000)).costs["m"]
    assert found.serve_bytes == 15 * GIB + GIB + 5 * GIB
    assert (found.device_bytes, found.host_bytes) == (70 * GIB, 2 * GIB)
    assert (found.busy_percent, found.cpu_cores) == (95.0, 0.5)
    assert (found.joules_per_1000_tokens, found.joules_per_solved) == (4000.0, 2000.0)
    assert found.energy_source == "counter"
    assert not found.why


PROBED = [Completion("x", "stop", 5, 101, timing=Timing(1, 0.0, 0.1, 1.0, 1.1))] * 2  # 100 tok/s


@pytest.mark.parametrize(
    ("engine", "times"),
    [
        ({}, 1),
        ({"tensor_parallel_size": 2}, 2),  # two devices read one layer at the same time
        ({"pipeline_parallel_size": 2}, 1),  # one after the other
        ({"data_parallel_size": 2}, 1),  # the second serves other requests
        ({"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, 2),
    ],
)
def test_the_limit_of_one_stream_is_that_of_the_devices_it_is_read_from_at_once(a_run, engine, times):
    telemetry = ModelTelemetry(10.0, (GPU,) * 4, "1", (BATCH,), output_tokens=1000)
    found = a_run(telemetry, probe=PROBED, engine=engine).costs["m"].speed_of_light
    assert found is not None
    assert found.limit_tok_s == pytest.approx(times * 3350e9 / (15 * GIB))
    assert found.share == pytest.approx(100 / found.limit_tok_s)


def test_speculative_decoding_has_no_limit_to_be_held_against(a_run):
    """Several tokens for one reading of the weights are not impossible."""
    telemetry = ModelTelemetry(10.0, (GPU,), "1", (BATCH,), output_tokens=1000)
    fast = [Completion("x", "stop", 5, 1001, timing=Timing(1, 0.0, 0.1, 1.0, 1.1))]
    run = a_run(telemetry, probe=fast, engine={"speculative_config": {"method": "ngram"}})
    table, *_ = speed.sections(run)
    assert "of the limit" not in table.rows[0]
    assert "not available: of the limit" in table.notes
    notes = [note for section in speed.sections(run) for note in section.notes]
    assert any("speculative decoding may draw several tokens" in note for note in notes)
    assert "impossible" not in session_report(run)


def test_every_report_shows_the_same_figures(a_run):
    run = a_run(ModelTelemetry(10.0, (GPU,), "1", (BATCH,), output_tokens=1000))
    [model] = run.models
    assert costs.energy(run, model).shown == "4000 J per 1,000 tokens"
    assert costs.utilisation(run, model).shown == "95 %"
    table, memory = speed.sections(run)
    assert dict(zip(*table.rows, strict=True))["J / 1000 tokens"] == "4000 J"
    assert dict(zip(*table.rows, strict=True))["memory to serve"] == "21.00 GiB"
    assert dict(zip(*memory.rows, strict=True))["KV in use at peak"] == "10.0 %"
    assert "| 4000 J | 2000 J |" in session_report(run)
    rebuild(run)
    written = json.loads((run.folder / "summary.json").read_text())["models"]["m"]["costs"]
    assert written["joules_per_1000_tokens"] == 4000.0
    assert written["memory"]["weights_bytes"] == 15 * GIB


def test_answers_of_an_earlier_run_have_no_energy_here_in_any_report(a_run):
    run = a_run(ModelTelemetry(10.0, (GPU,), "1", (BATCH,), output_tokens=500))
    [model] = run.models
    assert run.costs["m"].joules_per_1000_tokens is None
    assert costs.energy(run, model).shown is None
    assert "an earlier run's" in costs.energy(run, model).why


def test_the_energy_of_a_batch_in_which_the_engine_was_started_again_is_no_figure(a_run):
    timing = Timing(4, 0.1, 0.2, 1.0, 1.3, disturbed="it died under way")
    again = record(2)
    sample = replace(again.samples[0], completion=Completion("x", "stop", 5, 500, timing=timing))
    telemetry = ModelTelemetry(10.0, (GPU,), "1", (BATCH,), output_tokens=1000)
    run = a_run(telemetry, records=[record(1), replace(again, samples=(sample,))])
    assert run.costs["m"].joules_per_1000_tokens is None
    assert "the engine died under way" in costs.energy(run, run.models[0]).why
    rebuild(run)
    assert "energy" not in read_run(run.folder).models["m"].measures
    assert read_run(a_run(telemetry).folder).models["m"].measures["energy"] == 4.0


def test_without_a_device_the_reason_is_told_and_never_a_zero(a_run):
    why = {"device": "no NVIDIA driver on this machine"}
    host = PhaseFigures("batch", 10.0, (), HostFigures(rss_peak_bytes=GIB))
    run = a_run(ModelTelemetry(10.0, phases=(host,), why=why, output_tokens=1000), memory=None)
    [model] = run.models
    for figure in (costs.utilisation, costs.energy):
        assert (figure(run, model).shown, figure(run, model).why) == (None, why["device"])
    assert costs.memory(run, model).shown == "host: 1.00 GiB RSS at its peak"
    assert run.costs["m"].busy_percent is None


def test_without_a_probe_nothing_is_said_of_its_requests(a_run):
    run = a_run(ModelTelemetry(10.0, (GPU,), "1", (BATCH,), output_tokens=1000))
    assert not [note for section in speed.sections(run) for note in section.notes if "0 requests" in note]


def test_notes_explain_the_columns_that_are_there_and_a_table_without_figures_is_no_table(a_run):
    host = PhaseFigures("batch", 10.0, (), HostFigures(rss_peak_bytes=GIB))
    run = a_run(ModelTelemetry(10.0, phases=(host,), why={"device": "none"}, output_tokens=1000), memory=None)
    table, *_ = speed.sections(run)
    assert "host memory" in table.rows[0]
    assert any(note.startswith("host memory: resident") for note in table.notes)
    assert not [note for note in table.notes if note.startswith(("device memory", "busy, energy"))]
    nothing = a_run(ModelTelemetry(10.0, why={"device": "none", "host": "none"}), memory=None, probe=())
    [section] = speed.sections(nothing)
    assert section.rows == []
    assert any(note.startswith("not available: of the limit, memory to serve") for note in section.notes)
    assert "<table" not in speed.sections_html([section])
    assert "## Speed, memory, energy\n\n- `" in session_report(nothing)


def test_without_telemetry_everything_says_so(a_run):
    run = a_run(None, memory=None)
    [model] = run.models
    assert "--llmeval-telemetry is off" in costs.memory(run, model).why
    assert speed.sections(run) == []


@pytest.mark.parametrize(
    ("memory", "engine", "reason"),
    [
        (MemoryBreakdown("device", 1, 2), {"kv_cache_memory_bytes": 2}, "so vLLM measures no peak"),
        (MemoryBreakdown("host", 1, 2), {}, "vLLM measures it on devices alone"),
        (MemoryBreakdown("device", 1, None), {}, "KV pool"),
    ],
)
def test_memory_to_serve_says_which_part_is_not_known_and_why(a_run, memory, engine, reason):
    run = a_run(ModelTelemetry(10.0, (GPU,), "1", (BATCH,), output_tokens=1000), memory=memory, engine=engine)
    assert run.costs["m"].serve_bytes is None
    assert "peak activations" in run.costs["m"].why["memory to serve"]
    assert reason in run.costs["m"].why["memory to serve"]


def level(concurrency: int, tokens: int) -> Measurement:
    spread = Spread(4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
    times = Latencies(spread, spread, spread, spread)
    return Measurement("throughput", "m", 128, tokens // 4, 4, 0, 2.0, concurrency, None, tokens, times)


def test_measurements_and_knees_are_in_the_summary(a_run):
    folder: Path = a_run(None).folder
    for concurrency, tokens in ((1, 40), (8, 400), (16, 404)):
        append(folder / "serving/m.jsonl", level(concurrency, tokens))
    rebuild(load_run(folder))
    serving = json.loads((folder / "summary.json").read_text())["serving"]
    assert [one["concurrency"] for one in serving["measurements"]] == [1, 8, 16]
    assert serving["knees"] == {"m": 8}
