"""A small project of its own for each test: its models.toml holds fake engines, its suite is HumanEval's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmeval.store import read_records
from pytest_llmeval.testing import FakeEngine

REPOSITORY = Path(__file__).parents[2]
SUITE = (REPOSITORY / "suites/coding/test_humaneval.py").read_text()

REGISTRY = """
[defaults]
kind = "pytest_llmeval.testing:FakeEngine"
prompt_style = "completion"
needs = { device = "any", hub = false }

[models.good]
model = "fake"
categories = ["coding"]

[models.weak]
model = "fake"
categories = ["coding", "small"]
engine = { solves = 2 }
"""

INI = "[pytest]\nllmeval_registry = models.toml\naddopts = --strict-markers\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs pytest in a project with two fake models; `registry` adds to its models.toml.

    In this process, because it is quick; pass `--runpytest=subprocess` to see each in a process of its own.
    """
    pytester.makepyfile(test_humaneval=SUITE)
    pytester.makefile(".ini", pytest=INI)

    def run(*args: str, registry: str = "") -> pytest.RunResult:
        FakeEngine.loads.clear()  # runs in this process share the class
        Path("models.toml").write_text(REGISTRY + registry)
        return pytester.runpytest("-p", "no:cacheprovider", *args)

    return run


@pytest.fixture
def records(pytester: pytest.Pytester):
    """Reads the Records of the newest run."""
    return lambda: list(read_records(pytester.path / "reports/latest/results.jsonl"))
