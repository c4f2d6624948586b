"""`python -m pytest_llmeval doctor | models | init`, as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmeval import devices
from pytest_llmeval.commands import registries

REPOSITORY = Path(__file__).parents[2]

CODING = ("qwen3_8b", "qwen3_14b", "qwen3_coder_30b", "deepseek_coder_16b", "codestral_22b")
SECRET = "hf_doctorsecret0123456789"


def called(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_llmeval", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "HF_HOME": str(folder / "hub"), **environment},
    )


@pytest.mark.skipif(devices.has_gpu(), reason="asks what a machine without a GPU lacks")
def test_doctor_names_what_each_coding_model_lacks_and_shows_no_secret(tmp_path):
    done = called(tmp_path, "doctor", "--json", HF_TOKEN=SECRET)
    findings = {finding["topic"]: finding for finding in json.loads(done.stdout)["findings"]}
    for name in CODING:
        assert findings[f"model {name}"]["state"] == "missing"
        says = findings[f"model {name}"]["says"]
        assert "needs an NVIDIA GPU with" in says
        assert "is a build for CPUs" in says or "vLLM is not installed" in says
    assert findings["model tiny_coder"]["state"] == "ok"
    assert findings["sandbox"]["facts"]["level"] in {"A", "B", "B-"}
    assert SECRET not in done.stdout + done.stderr
    broken = [finding for finding in findings.values() if finding["state"] == "broken"]
    assert done.returncode == int(bool(broken))


def test_an_unknown_command_or_model_suggests_the_right_one(tmp_path):
    done = called(tmp_path, "modles")
    assert done.returncode == 2
    assert "did you mean 'models'?" in done.stderr
    done = called(tmp_path, "doctor", "tiny_codr")
    assert done.returncode == 2
    assert "did you mean 'tiny_coder'?" in done.stderr


def test_models_are_listed_from_the_project_s_own_registry(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nllmeval_registry = "ours.toml"\n')
    missing = called(tmp_path, "models")
    assert missing.returncode == 2
    assert "llmeval_registry in" in missing.stderr
    (tmp_path / "ours.toml").write_text(
        '[models.mine]\nmodel = "a/b"\nneeds = { device = "any", hub = false }\n'
    )
    assert "mine" in called(tmp_path, "models").stdout
    rows = json.loads(called(tmp_path, "models", "--json").stdout)["models"]
    assert [row["model"] for row in rows] == ["mine"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nllmeval_registry = sub/ours.toml\n"),
        ("tox.ini", "[pytest]\nllmeval_registry = sub/ours.toml\n"),
        ("setup.cfg", "[tool:pytest]\nllmeval_registry = sub/ours.toml\n"),
        ("pytest.toml", '[pytest]\nllmeval_registry = "sub/ours.toml"\n'),
    ],
)
def test_commands_read_the_registry_that_pytest_would(tmp_path, name, text):
    """Also from below the file that names it, and past files that configure something else."""
    (tmp_path / name).write_text(text)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/ours.toml").write_text("")
    (tmp_path / "sub/pyproject.toml").write_text("[tool.ruff]\n")
    assert registries.chosen(None, tmp_path) == tmp_path / "sub/ours.toml"
    assert registries.chosen(None, tmp_path / "sub") == tmp_path / "sub/ours.toml"
    (tmp_path / "sub/models.toml").write_text("")
    (tmp_path / "sub/pytest.ini").write_text("")  # the nearest configuration holds, and names none
    assert registries.chosen(None, tmp_path / "sub") == tmp_path / "sub/models.toml"


def test_init_makes_a_project_that_collects_and_never_writes_over_anything(tmp_path):
    said = called(tmp_path, "init")
    assert said.returncode == 0
    assert "wrote pytest.ini" in said.stdout
    assert "reports/, which is a line for your .gitignore" in said.stdout
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "suites",
            "-m",
            "coding",
            "--collect-only",
            "-q",
            "--llmeval-limit=1",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "[qwen3_8b_fp8-HumanEval/0]" in done.stdout
    for suite in (REPOSITORY / "suites").rglob("*.py"):  # what the pages say to type is there to be typed
        assert (tmp_path / suite.relative_to(REPOSITORY)).read_text() == suite.read_text()
    before = (tmp_path / "models.toml").read_text()
    again = called(tmp_path, "init")
    assert again.returncode == 2
    assert "nothing was written" in again.stderr
    assert (tmp_path / "models.toml").read_text() == before


def test_init_leaves_a_project_s_own_configuration_alone_and_says_what_to_add(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    said = called(tmp_path, "init").stdout
    assert not (tmp_path / "pytest.ini").exists()
    assert "add to pyproject.toml" in said
    assert '[tool.pytest.ini_options]\n  llmeval_registry = "models.toml"' in said
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tox.ini").write_text("[pytest]\n")
    assert "add to tox.ini" in called(tmp_path, "init", "mine").stdout
