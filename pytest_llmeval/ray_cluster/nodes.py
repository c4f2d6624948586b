"""The nodes of a cluster, and whether each runs the same program as this process."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pytest_llmeval import devices
from pytest_llmeval.errors import ConfigurationError

ANSWERS_WITHIN_S = 120.0  # a node's first worker imports this package


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node says of itself: Python's version, this package's, and a digest of its source."""

    host: str
    python: str
    package: str
    digest: str
    gpus: tuple[devices.Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A node with the cores and GPUs that it declares; `facts` is None where it runs no program of ours."""

    node_id: str
    address: str
    cores: float
    gpu_count: float
    facts: Facts | None
    trouble: str = ""

    def describe(self) -> dict[str, Any]:
        said = asdict(self.facts) if self.facts else {}
        return {"address": self.address, "cores": self.cores, "gpus": self.gpu_count, **said}


def facts() -> Facts:
    """Those of the machine that this runs on."""
    try:
        package = version("pytest-llmeval-bench")
    except PackageNotFoundError:  # a checkout on the path
        package = "not installed"
    return Facts(platform.node(), platform.python_version(), package, digest(), devices.gpus())


def facts_of_a_node() -> Facts:
    """Run on a node, by a worker that was given no GPU: Ray hides those from it."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    return facts()


@cache
def digest() -> str:
    """A hash of every module of this package: two installations of one version may still differ."""
    found = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def only_node() -> tuple[Node, ...]:
    """The node of a cluster that was started here: this machine."""
    import ray

    return tuple(_described(node, facts()) for node in ray.nodes())


def visit() -> tuple[Node, ...]:
    """Every living node, asked side by side."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    told = ray.remote(num_cpus=0, max_retries=2)(facts_of_a_node)
    alive = [node for node in ray.nodes() if node["Alive"]]
    asked = {
        node["NodeID"]: told.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in alive
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWERS_WITHIN_S)
    return tuple(_node(node, asked[node["NodeID"]]) for node in alive)


def _node(listed: dict[str, Any], answer: Any) -> Node:
    import ray

    try:
        return _described(listed, ray.get(answer, timeout=0))
    except Exception as error:  # whatever a foreign installation raises
        trouble = " ".join(str(error).split())[-300:] or type(error).__name__
        return _described(listed, None, trouble)


def _described(listed: dict[str, Any], said: Facts | None, trouble: str = "") -> Node:
    has = listed["Resources"]
    return Node(
        listed["NodeID"],
        listed["NodeManagerAddress"],
        has.get("CPU", 0.0),
        has.get("GPU", 0.0),
        said,
        trouble,
    )


def refuse_strangers(nodes: Iterable[Node]) -> None:
    """Raises ConfigurationError where a node would run other code than this process."""
    here = facts()
    for node in nodes:
        there = node.facts
        if there is None:
            raise ConfigurationError(
                f"--llmeval-ray: node {node.address} cannot run this package ({node.trouble}). Install the same "
                f"version of pytest-llmeval-bench and its extras in the environment of every node's Ray."
            )
        if (_minor(there.python), there.digest) != (_minor(here.python), here.digest):
            raise ConfigurationError(
                f"--llmeval-ray: node {node.address} ({there.host}) has pytest_llmeval {there.package} "
                f"({there.digest}) on Python {there.python}, this machine {here.package} ({here.digest}) on Python "
                f"{here.python}: verdicts would depend on where they were reached. Install the same version everywhere."
            )


def _minor(python: str) -> list[str]:
    return python.split(".")[:2]
