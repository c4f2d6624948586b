"""A project in which the documentation's commands can be followed without a GPU, a hub, or minutes of waiting.

Its models have the names and categories of those that ship with us, but a fake answers for them; each problem set
gives two problems. Whatever a page shows is typed into it as it stands.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from blocks import REPOSITORY

from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry

FAKE = "pytest_llmeval.testing:FakeEngine"
ENTRY = """
[models.{name}]
model = "fake"
kind = "{kind}"
categories = {categories}
prompt_style = "completion"
needs = {{ device = "any", hub = false }}
"""
PYPROJECT = '[tool.pytest.ini_options]\nllmeval_registry = "models.toml"\naddopts = "--strict-markers"\n'
# Plugins of our own development, which a reader's project has not, and which take seconds to import.
UNUSED = (
    "hypothesispytest",
    "anyio",
    "xdist",
    "xdist.looponfail",
    "random_order",
    "rerunfailures",
    "timeout",
)
REGISTRY = ".venv/fakes.toml"
COMMAND_TIMEOUT_S = 200


def make(folder: Path) -> None:
    """Lay out the project: registry, suites, and programs by the names that pages use."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    write_registry(folder)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    shutil.copytree(REPOSITORY / "suites", folder / "suites", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "baselines").mkdir()
    (folder / "baselines" / "latest.json").symlink_to("../baseline.json")
    programs = folder / ".venv" / "bin"
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "pytest").write_text(f'#!/bin/sh\nexec {sys.executable} -m pytest "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)


def write_registry(folder: Path) -> None:
    entries = [
        ENTRY.format(name=name, kind=FAKE, categories=list(spec.categories))
        for name, spec in load_registry(BUILTIN_REGISTRY).items()
    ]
    (folder / REGISTRY).write_text("".join(entries))
    (folder / "models.toml").symlink_to(REGISTRY)


def shell(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a person types, in a shell that stops at the first command that fails."""
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        env={
            **os.environ,
            "PATH": f"{folder / '.venv/bin'}:{os.environ['PATH']}",
            "PYTEST_ADDOPTS": " ".join(
                [
                    *(f"-p no:{name}" for name in UNUSED),
                    *(f"--llmeval-registry={folder / REGISTRY}", "--llmeval-limit=2", "--llmeval-probe=2"),
                ]
            ),
            "BASELINES": str(folder / "baselines"),
            **environment,
        },
    )


def begin_empty(folder: Path) -> None:
    """For pages that begin with nothing; the fakes answer all the same."""
    for name in ("models.toml", "pyproject.toml"):
        (folder / name).unlink()
    for name in ("suites", "reports"):
        shutil.rmtree(folder / name)
