"""The words of placing: a Place holds one engine at a time, a Need says what a model takes, a Placement what it got."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

ELSEWHERE = "elsewhere"
"""The place of every model that takes none of the pool's: served by others, replayed, on the CPU beside GPUs."""

# What a host on a core set finds in its environment: the cores that it binds itself to, and its part of the memory.
CORES_VARIABLE = "PYTEST_LLMEVAL_CORES"
MEMORY_SHARE_VARIABLE = "PYTEST_LLMEVAL_MEMORY_SHARE"


@dataclass(frozen=True, slots=True)
class Place:
    """A GPU (or an instance of one), or a set of cores. `memory_bytes` is what an engine can have there.

    `cores` are the logical cores of a set. `uuid` is a device's own, `name` what CUDA_VISIBLE_DEVICES calls it.
    """

    name: str
    memory_bytes: int | None = None
    cores: tuple[int, ...] = ()
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """What a model takes: `places` at a time, with so much memory on each; `only` names those it may have.

    A model that is kept (`kept`: tests use its engine, so it stays open until they have) never starts before one
    that waits ahead of it: it could hold what the other needs until tests have run that come later.
    """

    model: str
    places: int = 1
    memory_bytes: int = 0
    only: frozenset[str] | None = None
    kept: bool = False

    def fits(self, place: Place) -> bool:
        """True where one of the model's parts can be on that place, as far as is known."""
        if self.only is None:
            return place.name != ELSEWHERE and (
                place.memory_bytes is None or place.memory_bytes >= self.memory_bytes
            )
        return place.name in self.only


@dataclass(frozen=True)
class Placement:
    """Where a model's engine is to be: its host's environment says so, over this process's own.

    `kind` is what the places are; `memory_share` the part of this machine's memory that belongs to a core set's
    engine. What the model's entry sets in its `environment` goes before.
    """

    kind: Literal["gpu", "cores", "elsewhere"]
    places: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def over(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """An environment as the engine's host will see it."""
        return {**environ, **self.environment}


@dataclass(frozen=True)
class Pool:
    """The places of a run. On core sets engines share caches and memory bandwidth: times there are not their own."""

    kind: Literal["gpu", "cores"]
    places: tuple[Place, ...]

    @property
    def described(self) -> str:
        """What a model waits for, in words."""
        return "a device" if self.kind == "gpu" else "a core set"

    @property
    def shares_cores(self) -> bool:
        """True where engines side by side disturb each other's times."""
        return self.kind == "cores" and len(self.places) > 1

    def conditions(self, placement: Placement) -> tuple[str, ...]:
        """What readers of the figures must know of an engine that was placed so."""
        if not self.shares_cores or placement.kind != "cores":
            return ()
        return (
            f"core set {' + '.join(placement.places)}: other engines, and judging, computed beside its batch, so the "
            f"batch's speed is not its own; single-stream timings are",
        )

    @property
    def everywhere(self) -> tuple[Place, ...]:
        """The pool's places and the one for models that take none of them."""
        return (*self.places, Place(ELSEWHERE))

    def placement(self, places: Sequence[Place]) -> Placement:
        """What an engine must know that got these places."""
        names = tuple(place.name for place in places)
        if names == (ELSEWHERE,):
            return Placement("elsewhere", names)
        if self.kind == "gpu":
            # Indices are NVML's, which counts in the order of the bus; CUDA does so only when told to.
            devices = {"CUDA_VISIBLE_DEVICES": ",".join(names), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
            return Placement("gpu", names, MappingProxyType(devices))
        return Placement("cores", names, MappingProxyType(self._cores_environment(places)))

    def _cores_environment(self, places: Sequence[Place]) -> dict[str, str]:
        cores = sorted(core for place in places for core in place.cores)
        return {
            CORES_VARIABLE: ",".join(map(str, cores)),
            MEMORY_SHARE_VARIABLE: f"{len(places) / len(self.places):.6f}",
            "OMP_NUM_THREADS": str(min(len(place.cores) for place in places)),
            "VLLM_CPU_OMP_THREADS_BIND": "|".join(",".join(map(str, place.cores)) for place in places),
        }
