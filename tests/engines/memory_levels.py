"""A pytest plugin for one test: what memory this run holds whenever an engine has been closed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest


def pytest_fixture_post_finalizer(fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> None:
    if fixturedef.argname == "engine":
        with Path(os.environ["MEMORY_LEVELS"]).open("a") as levels:
            levels.write(json.dumps(level()) + "\n")


def level() -> dict:
    """Resident bytes of each engine host, by the name of its log, and of everything else of this run."""
    hosts: dict[str, int] = {}
    others = 0
    for process in [me := psutil.Process(), *me.children(recursive=True)]:
        try:
            output, resident = Path(f"/proc/{process.pid}/fd/1").readlink(), process.memory_info().rss
        except (OSError, psutil.NoSuchProcess):
            continue
        if output.parent.name == "engine":
            hosts[output.stem] = hosts.get(output.stem, 0) + resident
        else:
            others += resident
    return {"hosts": hosts, "others": others}
