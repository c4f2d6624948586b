"""What a model needs, read from its entry: places by its parallel sizes, memory by its weights and what it reserves."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from pathlib import Path

from pytest_llmeval.devices import SERVED_ELSEWHERE, device_count, memory_share, weight_parts
from pytest_llmeval.placement.places import ELSEWHERE, Need, Place, Pool
from pytest_llmeval.schema import ModelSpec
from pytest_llmeval.units import GIB

WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")


def need_of(
    spec: ModelSpec, pool: Pool, *, kept: bool = False, pinned: Iterable[Place] | None = None
) -> Need:
    """The need of one entry; `pinned` are the devices that it names itself, in its CUDA_VISIBLE_DEVICES."""
    if not takes_a_place(spec, pool):
        return Need(spec.name, only=frozenset({ELSEWHERE}), kept=kept)
    count = device_count(spec)
    named = None if pinned is None else frozenset([place.name for place in pinned][:count])
    return Need(spec.name, count, memory_of_a_part(spec, pool, weight_parts(spec)), named, kept)


def takes_a_place(spec: ModelSpec, pool: Pool) -> bool:
    """False for models that others serve, for answers out of a file, and for CPU engines where places are GPUs."""
    if spec.kind in SERVED_ELSEWHERE or spec.kind == "replay":
        return False
    return not (pool.kind == "gpu" and spec.engine.get("device") == "cpu")


def memory_of_a_part(spec: ModelSpec, pool: Pool, parts: int) -> int:
    """Bytes that a place must have: the weights within the share that vLLM may use, or what the entry says it needs."""
    weights = ceil(weights_bytes(spec) / parts / memory_share(spec))
    if pool.kind == "cores":
        return weights
    return max(weights, ceil(spec.needs.device_memory_gib * GIB / parts))


def weights_bytes(spec: ModelSpec) -> int:
    """The size of the weights where they are files of this machine; 0 where it is not known."""
    folder = Path(spec.model)
    if not folder.is_absolute():
        return 0
    if folder.is_file():
        return folder.stat().st_size
    for pattern in WEIGHTS:  # a checkpoint may be there in two formats, of which one is loaded
        if sizes := [file.stat().st_size for file in folder.glob(pattern) if file.is_file()]:
            return sum(sizes)
    return 0
