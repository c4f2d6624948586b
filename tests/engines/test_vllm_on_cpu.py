"""The whole way on a real vLLM engine, with the embedded model, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("vllm", reason="needs the CPU environment: make setup")

REPOSITORY = Path(__file__).parents[2]


def command(reports: Path, *args: str) -> list[str]:
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites", "-m", "demo"),
        *(f"--llmeval-reports={reports}", *args),
    ]


def hosts() -> list[psutil.Process]:
    """Engine hosts that are alive on this machine."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if "pytest_llmeval.engines.host.worker" in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_both_embedded_models_answer_right_and_wrong(tmp_path):
    done = subprocess.run(
        command(tmp_path, "--llmeval-limit=24", "--llmeval-wrong=xfail"),
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed, \d+ deselected, \d+ xfailed", done.stdout)
    run = tmp_path / "latest"
    summary = json.loads((run / "summary.json").read_text())["models"]
    for name in ("tiny_coder", "tiny_coder_hot"):
        figures = summary[name]["figures"]
        assert summary[name]["status"] == "complete"
        assert 0 < figures["solved"] < 24
        assert figures["batch_tok_s"] > 0
    facts = json.loads((run / "manifest.json").read_text())["engines"]["tiny_coder"]["facts"]
    assert facts["platform"] == "cpu"


def test_a_host_killed_while_it_works_faults_that_model_only(tmp_path):
    """kill -9 of the first model's host once it generates: the second is intact, nothing is left running."""
    process = subprocess.Popen(
        command(tmp_path, "--llmeval-wrong=xfail"), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    output = []
    for line in process.stdout:
        output.append(line)
        if line.startswith("tiny_coder: generating"):
            log = tmp_path / "latest/engine/tiny_coder.log"
            victim = next(p for p in children_of(process.pid) if log_of(p) == log.resolve())
            started = children_of(process.pid)
            victim.send_signal(signal.SIGKILL)
            break
    output += process.stdout
    assert process.wait(300) == pytest.ExitCode.TESTS_FAILED, "".join(output)
    models = json.loads((tmp_path / "latest/summary.json").read_text())["models"]
    assert models["tiny_coder"]["status"] == "faulted"
    assert "SIGKILL" in models["tiny_coder"]["reason"]
    assert models["tiny_coder_hot"]["status"] == "complete"
    assert models["tiny_coder_hot"]["figures"]["judged"] == 164
    assert "tiny_coder" in (tmp_path / "latest/report.html").read_text()
    assert not [p for p in started if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def log_of(process: psutil.Process) -> Path | None:
    """Where a process writes its standard output."""
    try:
        return Path(f"/proc/{process.pid}/fd/1").readlink()
    except OSError:
        return None


def test_a_killed_pytest_leaves_whole_records_and_no_process(tmp_path):
    process = subprocess.Popen(
        command(tmp_path, "--llmeval-models=tiny_coder"), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("tiny_coder: generating"):
            break
    family = children_of(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(map(alive, family)):
        time.sleep(0.05)
    assert not [p for p in family if alive(p)]


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
