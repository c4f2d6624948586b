"""The whole way on a real vLLM engine, with the embedded model, in a pytest of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pytest_llmeval.store import read_generations, read_records

pytest.importorskip("vllm", reason="needs the CPU environment: make setup")

REPOSITORY = Path(__file__).parents[2]
TINY = REPOSITORY / "pytest_llmeval/models/tiny_coder"
TIMEOUT_S = 400
WHOLE = ("complete", "degraded")  # an answer that rambles on to its limit degrades a run of few problems
KV_BYTES = 201326592  # models.toml gives the embedded model so much


def command(reports: Path, *args: str) -> list[str]:
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites"),
        *(f"--llmeval-reports={reports}", *args),
    ]


def finished(reports: Path, *args: str) -> subprocess.CompletedProcess[str]:
    (reports / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(reports / "tmp")}
    return subprocess.run(
        command(reports, *args),
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def started(reports: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(reports, *args), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], start: str) -> None:
    """Read output up to the first line that starts so."""
    for line in process.stdout:
        if line.startswith(start):
            return
    pytest.fail(f"pytest ended before it said {start!r}")


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def survivors(processes: list[psutil.Process], within_s: float = 10.0) -> list[psutil.Process]:
    """Which of them are still alive when they have had their time to go."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and any(map(alive, processes)):
        time.sleep(0.05)
    return [process for process in processes if alive(process)]


def log_of(process: psutil.Process) -> Path | None:
    """Where a process writes its standard output."""
    try:
        return Path(f"/proc/{process.pid}/fd/1").readlink()
    except OSError:
        return None


def models(reports: Path) -> dict:
    return json.loads((reports / "latest/summary.json").read_text())["models"]


def test_both_embedded_models_answer_right_and_wrong(tmp_path):
    done = finished(
        tmp_path, "-m", "demo", "--llmeval-limit=24", "--llmeval-wrong=xfail", "--llmeval-probe=3"
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed, \d+ deselected, \d+ xfailed", done.stdout)
    assert not list((tmp_path / "tmp").iterdir()), (
        "nothing is left in the system's folder for temporary files"
    )
    for name in ("tiny_coder", "tiny_coder_hot"):
        figures = models(tmp_path)[name]["figures"]
        assert models(tmp_path)[name]["status"] in WHOLE
        assert 0 < figures["solved"] < 24
        assert figures["batch_tok_s"] > 0
        assert figures["single_stream"]["requests"] == 3
        assert figures["single_stream"]["concurrency"] == 1
    manifest = json.loads((tmp_path / "latest/manifest.json").read_text())
    told = manifest["engines"]["tiny_coder"]
    assert told["facts"]["platform"] == "cpu"
    assert told["facts"]["attention"] == ["CPU_ATTN"]
    assert told["facts"]["linear"]
    assert (told["facts"]["compilation"], told["facts"]["graphs"]) == ("NONE", "NONE")
    weights = (TINY / "model.safetensors").stat().st_size
    assert told["memory"]["where"] == "host"
    assert 0.5 * weights < told["memory"]["weights_bytes"] < 4 * weights
    assert 0.9 * KV_BYTES < told["memory"]["kv_pool_bytes"] <= KV_BYTES
    assert told["memory"]["graphs_bytes"] is None, "not measured, because there are none"
    used = manifest["engines_fared"]["tiny_coder"]
    assert 0 < used["kv_peak_share"] < 1
    assert 0 < used["kv_peak_tokens"] < told["memory"]["kv_pool_tokens"]


def test_a_host_killed_while_it_works_is_started_again_and_nothing_is_lost(tmp_path):
    process = started(tmp_path, "-m", "demo", "--llmeval-wrong=xfail", "--llmeval-probe=3")
    read_until(process, "tiny_coder: generating")
    log = (tmp_path / "latest/engine/tiny_coder.log").resolve()
    running = family(process)
    next(p for p in running if log_of(p) == log).send_signal(signal.SIGKILL)
    output = process.stdout.read()
    assert process.wait(TIMEOUT_S) == pytest.ExitCode.OK, output
    for name in ("tiny_coder", "tiny_coder_hot"):
        assert models(tmp_path)[name]["status"] in WHOLE
        assert models(tmp_path)[name]["figures"]["judged"] == 164
        assert models(tmp_path)[name]["figures"]["single_stream"]["requests"] == 3
    assert "tiny_coder: note: the engine died (the engine host died (signal SIGKILL))" in output
    assert "was started again" in (tmp_path / "latest/report.html").read_text()
    assert models(tmp_path)["tiny_coder"]["figures"]["batch_tok_s"] is None, "the batch holds a restart"
    assert models(tmp_path)["tiny_coder_hot"]["figures"]["batch_tok_s"] > 0
    assert not survivors(running)


TWINS = """
include = ["builtin"]
[models.whole]
extends = "tiny_coder_hot"
[models.killed]
extends = "tiny_coder_hot"
"""
ASKED = 12


def test_a_killed_pytest_leaves_no_process_and_resumed_it_has_the_texts_of_an_undisturbed_model(tmp_path):
    """Two loads of one model, one request at a time and the same seed: their texts are equal, whoever died."""
    (tmp_path / "models.toml").write_text(TWINS)
    arguments = (
        *("-m", "demo", f"--llmeval-registry={tmp_path}/models.toml", "--llmeval-models=whole,killed"),
        *(f"--llmeval-limit={ASKED}", "--llmeval-concurrency=1", "--llmeval-seed=3"),
        *("--llmeval-probe=off", "--llmeval-wrong=xfail"),
    )
    process = started(tmp_path, *arguments)
    generations = tmp_path / "latest/generations.jsonl"
    wait_until(lambda: generations.exists() and generations.read_bytes().count(b"\n") > ASKED + 2, process)
    running = family(process)
    process.kill()
    process.wait()
    assert not survivors(running)
    kept = sum(one.model == "killed" for one in read_generations(generations))
    resumed = finished(tmp_path, *arguments, "--llmeval-resume")
    assert resumed.returncode == 0, resumed.stdout
    assert f"resume: whole: {ASKED} of {ASKED} answers" in resumed.stdout
    assert f"resume: killed: {kept} of {ASKED} answers" in resumed.stdout
    assert kept < ASKED
    assert answers(tmp_path, "killed") == answers(tmp_path, "whole")


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not happened():
        assert process.poll() is None, "pytest ended before"
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def answers(reports: Path, model: str) -> dict[str, tuple[str, str]]:
    """Task → text and outcome in the newest run."""
    records = [r for r in read_records(reports / "latest/results.jsonl") if r.model == model]
    return {r.task_id: (r.samples[0].completion.text, r.samples[0].verdict.outcome) for r in records}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_writes_the_reports_and_leaves_no_process(tmp_path, number):
    process = started(tmp_path, "-m", "demo", "--llmeval-models=tiny_coder", "--junitxml=/dev/null")
    read_until(process, "tiny_coder: loading")
    running = family(process)
    process.send_signal(number)
    output = process.stdout.read()
    assert process.wait(TIMEOUT_S) == pytest.ExitCode.INTERRUPTED
    assert "leaderboard" in output
    assert models(tmp_path)["tiny_coder"]["status"] == "incomplete"
    assert "Leaderboard" in (tmp_path / "latest/report.html").read_text()
    assert not survivors(running)


BROKEN = """
[defaults]
prompt_style = "completion"
engine = { dtype = "float32", max_model_len = 2048, enforce_eager = true, kv_cache_memory_bytes = 67108864 }
needs = { device = "any", hub = false }
sampling = { max_tokens = 100 }
[models.offline]
model = "nobody/nothing"
environment = { HF_HUB_OFFLINE = "1" }
[models.architecture]
model = "./architecture"
[models.weights]
model = "./weights"
[models.argument]
model = "builtin:tiny_coder"
engine = { max_modle_len = 3 }
[models.memory]
model = "builtin:tiny_coder"
engine = { kv_cache_memory_bytes = 999999999999 }
[models.context]
model = "builtin:tiny_coder"
engine = { max_model_len = 150 }
[models.tokenizer]
model = "./tokenizer"
[models.healthy]
model = "builtin:tiny_coder"
"""

EXPECTED = {
    "offline": "offline: LocalEntryNotFoundError",
    "architecture": "architecture not supported: Model architectures ['NoSuchForCausalLM'] are not supported",
    "weights": "weights missing or damaged: RuntimeError: Cannot find any model weights",
    "argument": "wrong engine argument: TypeError: EngineArgs.__init__() got an unexpected keyword argument "
    "'max_modle_len'",
    "memory": "out of memory: ValueError: Available memory on node 0",
    "context": "prompt too long: PromptTooLongError: what must be kept of the prompt does not fit",
    "tokenizer": "tokenizer missing: ValueError: the tokenizer gives no tokens",
}


def test_each_provoked_fault_is_one_clear_paragraph_and_the_healthy_model_runs(tmp_path):
    (tmp_path / "models.toml").write_text(BROKEN)
    for name in ("architecture", "weights", "tokenizer"):
        shutil.copytree(TINY, tmp_path / name)
    config = (tmp_path / "architecture/config.json").read_text()
    (tmp_path / "architecture/config.json").write_text(
        config.replace("Qwen3ForCausalLM", "NoSuchForCausalLM")
    )
    (tmp_path / "weights/model.safetensors").unlink()
    for file in (tmp_path / "tokenizer").glob("token*"):
        file.unlink()

    done = finished(
        tmp_path, f"--llmeval-registry={tmp_path}/models.toml", "--llmeval-limit=1", "--llmeval-probe=off"
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    for name, start in EXPECTED.items():
        assert models(tmp_path)[name]["status"] == "faulted"
        assert models(tmp_path)[name]["reason"].startswith(start)
        assert done.stdout.count(models(tmp_path)[name]["reason"].splitlines()[1]) >= 1  # what to do
    assert models(tmp_path)["healthy"]["status"] in WHOLE
