"""Five entries of the embedded model in one session on real vLLM: one does not load, one dies twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="needs the CPU environment: make setup")

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
TIMEOUT_S = 500

# `dies` is real: a seeded request whose prefill is split ends vLLM's engine on a CPU (docs/architecture.md).
REGISTRY = """
[defaults]
prompt_style = "completion"
needs = { device = "any", hub = false }
sampling = { max_tokens = 40 }

[defaults.engine]
dtype = "float32"
enforce_eager = true
max_model_len = 1024
kv_cache_memory_bytes = 33554432

[models.plain]
model = "builtin:tiny_coder"
[models.unloadable]
extends = "plain"
engine = { max_model_len = 40960 }
[models.hot]
extends = "plain"
sampling = { temperature = 0.8 }
engine = { max_num_seqs = 4 }
[models.dies]
extends = "hot"
engine = { enable_chunked_prefill = true, max_num_batched_tokens = 64 }
[models.short]
extends = "plain"
engine = { max_model_len = 512, kv_cache_memory_bytes = 67108864 }
"""
NAMES = ["plain", "unloadable", "hot", "dies", "short"]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The finished session: its output, its summary, and what memory it held after each model."""
    folder = tmp_path_factory.mktemp("five")
    (folder / "models.toml").write_text(REGISTRY)
    levels = folder / "levels.jsonl"
    command = [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "memory_levels"),
        *("suites/coding/test_humaneval.py", f"--llmeval-registry={folder}/models.toml"),
        *(f"--llmeval-reports={folder}", "--llmeval-limit=2", "--llmeval-probe=off", "--llmeval-wrong=xfail"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "MEMORY_LEVELS": str(levels)}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    summary = json.loads((folder / "latest/summary.json").read_text())["models"]
    return done, summary, [json.loads(line) for line in levels.read_text().splitlines()]


def test_three_finish_and_two_are_faults_of_their_own(session):
    done, models, _ = session
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    told = {name: models[name]["status"] for name in NAMES}
    assert {told.pop(name) for name in ("plain", "hot", "short")} <= {"complete", "degraded"}, done.stdout
    assert told == {"unloadable": "faulted", "dies": "faulted"}, done.stdout
    assert "\nvLLM estimates that engine.max_model_len = " in models["unloadable"]["reason"]
    assert "CPU Generator" in models["dies"]["reason"]
    assert "and was started again once" in models["dies"]["reason"]


def test_memory_returns_to_its_level_after_each_and_nobody_is_left(session):
    """What is left after a model is the host of the next one, which imports already, and nothing of its own."""
    _, _, levels = session
    assert len(levels) == len(NAMES)
    for number, level in enumerate(levels):
        assert not set(NAMES[: number + 1]) & set(level["hosts"])
        assert set(level["hosts"]) <= set(NAMES[number + 1 :][:1])
        assert level["others"] == pytest.approx(levels[0]["others"], rel=0.05)
    assert not levels[-1]["hosts"]
