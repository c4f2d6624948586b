"""Pages in a real browser; where there is none, these tests are skipped and say so."""

from __future__ import annotations

from collections.abc import Iterator

import chromium
import pytest


@pytest.fixture(scope="session", autouse=True)
def _browser_is_there() -> None:
    if chromium.BINARY is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Tab]:
    with chromium.tab(tmp_path_factory.mktemp("profile")) as one:
        yield one
