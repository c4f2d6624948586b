"""How much of a cluster an engine needs. Knows nothing of ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_llmeval.devices import device_count
from pytest_llmeval.ray_cluster.nodes import Node
from pytest_llmeval.schema import ModelSpec

HOSTED = ("vllm", "transformers")
ACROSS_NODES = {"distributed_executor_backend": "ray"}


@dataclass(frozen=True)
class Room:
    """What is reserved for one engine's host, on one node; `engine` are arguments that the room asks for.

    An engine that no node has GPUs enough for is spread by vLLM's own executor, which reserves them by itself: the
    host then needs a core.
    """

    cores: int
    gpus: int = 0
    engine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bundle(self) -> dict[str, float]:
        """As a placement group wants it."""
        return {"CPU": float(self.cores), **({"GPU": float(self.gpus)} if self.gpus else {})}

    def fits(self, node: Node) -> bool:
        """True where the node has as much, be it free or not."""
        return node.cores >= self.cores and node.gpu_count >= self.gpus

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{cores} and {self.gpus} GPU(s)" if self.gpus else cores


def room_for(spec: ModelSpec, nodes: Iterable[Node]) -> Room:
    """By the entry's own words: its parallel sizes, and OMP_NUM_THREADS of its environment where it runs on cores."""
    size = device_count(spec)
    largest = max((int(node.gpu_count) for node in nodes), default=0)
    if not largest or spec.engine.get("device") == "cpu":
        threads = spec.environment.get("OMP_NUM_THREADS", "1")
        return Room(size * int(threads) if threads.isdecimal() else size)
    if size > largest:
        return Room(1, engine=ACROSS_NODES)
    return Room(1, size)


def cores_kept_free(specs: Iterable[ModelSpec]) -> int:
    """For engines: the largest, and another beside it, which imports meanwhile."""
    hosted = (spec for spec in specs if spec.kind in HOSTED)
    needs = sorted((1 if s.needs.device == "gpu" else room_for(s, ()).cores for s in hosted), reverse=True)
    return sum(needs[:2])
