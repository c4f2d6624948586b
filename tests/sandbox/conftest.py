"""One executor per level that this machine offers, shared by the tests; C runs harmless programs only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judging import ALONE, started

from pytest_llmeval.sandbox import Executor


@pytest.fixture(scope="session", params=["A", ALONE, "B", "B-"])
def isolated(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """An executor at each level that promises isolation."""
    executor = started(request.param)
    yield executor
    executor.close()


@pytest.fixture(scope="session", params=["A", "B"])
def protected(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """An executor at each level that protects everything; verdicts are reached in the same way at the others."""
    executor = started(request.param)
    yield executor
    executor.close()


@pytest.fixture(scope="session", params=["A", ALONE, "B", "B-", "C"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """An executor at each level; nothing hostile to this machine may be given to it."""
    executor = started(request.param)
    yield executor
    executor.close()


@pytest.fixture(scope="session")
def strongest() -> Iterator[Executor]:
    """What `auto` finds here."""
    executor = started("auto", workers=2)
    yield executor
    executor.close()
