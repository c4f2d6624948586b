"""A judge with a cache of its own, shared by the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.problems.expected import Kept
from pytest_llmeval.sandbox import Executor
from pytest_llmeval.scoring.judge import Judge


@pytest.fixture(scope="session")
def executor() -> Iterator[Executor]:
    started = Executor("auto", workers=2)
    try:
        started.start()
    except SandboxFault as refusal:
        pytest.skip(f"nothing can be judged here: {refusal}")
    yield started
    started.close()


@pytest.fixture(scope="module")
def judge(executor: Executor, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(executor, Kept(tmp_path_factory.mktemp("kept"), executor.environment))
