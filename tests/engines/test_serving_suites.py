"""The measuring suites on a real vLLM engine with the embedded model: some of their levels, and one load for all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmeval.devices import has_gpu

pytest.importorskip("vllm", reason="needs the CPU environment: make setup")

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_S = 400
LEVELS = (
    "single_stream and (-128] or -512] or -32000]) or at_a_time and (-1] or -4] or -16] or -64])"
    " or arrivals and -16] or promised"
)
MEASURED = {"latency": 2, "throughput": 3, "goodput": 1, "memory": 1}


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> tuple[str, Path]:
    """What pytest said, and the folder of its run."""
    folder = tmp_path_factory.mktemp("serving")
    command = [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites/serving", "-rs", "-k", LEVELS),
        *("--llmeval-models=tiny_coder", f"--llmeval-reports={folder}", f"--benchmark-json={folder}/bench.json"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, (folder / "latest").resolve()


@pytest.fixture(scope="module")
def summary(session) -> dict:
    return json.loads((session[1] / "summary.json").read_text())


def test_levels_that_fit_are_measured_and_others_are_skipped_with_their_reason(session, summary):
    output, _ = session
    found = [one["kind"] for one in summary["serving"]["measurements"]]
    assert {kind: found.count(kind) for kind in found} == MEASURED
    assert f"{sum(MEASURED.values())} passed, 2 skipped" in output
    assert "32000 + 32 tokens do not fit into its context of 2048" in output
    assert "measured with up to 32 at a time" in output


def test_every_measurement_is_whole_and_its_figures_hold_together(summary):
    for one in summary["serving"]["measurements"]:
        times = one["latencies"]
        assert (one["failed"], one["total_output_tokens"]) == (0, one["requests"] * one["output_tokens"])
        assert 0 < times["ttft_s"]["p50"] <= times["ttft_s"]["p99"] <= times["response_s"]["most"]
        assert times["itl_s"]["count"] == one["requests"] * (one["output_tokens"] - 1)
        assert one["seconds"] >= times["response_s"]["most"]
    by_kind = {one["kind"]: one for one in summary["serving"]["measurements"]}
    assert by_kind["memory"]["prompt_tokens"] + by_kind["memory"]["output_tokens"] == 2048
    assert 0 <= by_kind["goodput"]["share_within"] <= 1
    assert summary["serving"]["knees"]["tiny_coder"] in (1, 4, 16)


def test_nothing_is_judged_so_no_sandbox_is_started(session):
    output, run = session
    assert "sandbox:" not in output
    assert "llmeval: tiny_coder, to be measured" in output
    assert json.loads((run / "manifest.json").read_text())["sandbox"] is None


def test_every_report_shows_them(session):
    output, run = session
    for title in ("one stream", "many at a time", "arriving by chance", "memory"):
        assert f"serving: {title}" in output
        assert f"Serving: {title}" in (run / "report.md").read_text()
        assert f"Serving: {title}" in (run / "report.html").read_text()
    assert "(knee)" in output


def test_pytest_benchmark_has_a_round_for_each_request_and_the_figures_beside_them(session):
    _, run = session
    benchmarks = json.loads((run.parent / "bench.json").read_text())["benchmarks"]
    told = [one["extra_info"]["llmeval"] for one in benchmarks]
    assert sorted(one["kind"] for one in told) == sorted(
        kind for kind, count in MEASURED.items() for _ in range(count)
    )
    for one, info in zip(benchmarks, told, strict=True):
        assert one["stats"]["rounds"] == info["requests"]
        assert one["stats"]["mean"] == pytest.approx(info["latencies"]["response_s"]["mean"], rel=1e-6)
        assert info["output_tok_s"] > 0


@pytest.mark.skipif(has_gpu(), reason="is about a machine without an NVIDIA GPU")
def test_without_a_gpu_what_nvml_would_tell_is_not_available_and_never_a_zero(session, summary):
    output, run = session
    assert "not available: busy, J / 1000 tokens" in output
    assert "device: not available: no NVIDIA driver on this machine" in output
    costs = [one["costs"] for one in summary["serving"]["measurements"]]
    assert all(one["devices"] == [] for one in costs)
    assert all(one["host"]["rss_peak_bytes"] > 50 << 20 for one in costs)
    assert "no NVIDIA driver on this machine" in summary["models"]["tiny_coder"]["costs"]["why"]["device"]
    telemetry = json.loads((run / "telemetry/tiny_coder.json").read_text())["telemetry"]
    assert telemetry["devices"] == []
    assert {phase["name"] for phase in telemetry["phases"]} >= {"load", "latency 128", "throughput 16"}
