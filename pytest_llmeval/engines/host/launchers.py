"""Who starts an engine's hosts: this process, or somebody who finds room for them elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pytest_llmeval.engines.host.process import ChildHost, Host, Owner
from pytest_llmeval.schema import ModelSpec


class Launcher(Protocol):
    """Starts the hosts of one engine, one after another, until it is released."""

    is_here: bool
    """True where hosts run on this machine, in sight of whoever samples processes and devices."""

    def start(self, driver: str, environment: Mapping[str, str], log_path: Path, owner: Owner) -> Host:
        """Start a host; never blocks. What it writes ends up in `log_path`."""

    def release(self) -> None:
        """Give back what was reserved for the engine. May be called twice."""


class Launchers(Protocol):
    """Has a launcher for each engine."""

    def has_gpu(self) -> bool:
        """True where engines find GPUs."""

    def of(self, spec: ModelSpec) -> Launcher:
        """For an engine of this entry; never blocks."""


class ChildLauncher:
    """Hosts are children of this process."""

    is_here = True

    def start(self, driver: str, environment: Mapping[str, str], log_path: Path, owner: Owner) -> Host:
        return ChildHost(driver, environment, log_path, owner)

    def release(self) -> None:
        """Nothing was reserved."""
