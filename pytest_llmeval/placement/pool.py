"""The places of this machine: the GPUs that are visible and named, or core sets where there is no GPU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.placement.places import Place, Pool
from pytest_llmeval.schema import ModelSpec
from pytest_llmeval.telemetry.nvml import GpuFacts, NoDevices, Nvml

OPTION = "--llmeval-devices"
ALL = 1 << 10  # more devices than a machine has


def pool_of(given: str, environ: Mapping[str, str] = os.environ) -> Pool:
    """The pool that --llmeval-devices names on this machine.

    Raises:
        ConfigurationError: it names what is not there, or what CUDA_VISIBLE_DEVICES hides.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    try:
        gpus = listed(visible)
    except NoDevices:
        if not hasattr(os, "sched_getaffinity"):
            raise ConfigurationError(
                f"{OPTION}={given}: there is no GPU here, and this system binds no process to a set of cores; "
                "leave it out"
            ) from None
        return core_pool(given, os.sched_getaffinity(0), machine_memory_bytes())
    return gpu_pool(given, gpus, visible)


def listed(setting: str | None, count: int = ALL) -> list[GpuFacts]:
    """The devices that a CUDA_VISIBLE_DEVICES names.

    Raises:
        NoDevices: there is no driver, or it shows none.
    """
    nvml = Nvml()
    try:
        return [gpu.facts for gpu in nvml.devices(setting, count, set)]
    finally:
        nvml.close()


def gpu_pool(given: str, visible: Sequence[GpuFacts], setting: str | None) -> Pool:
    """Of the visible devices those that are named, by NVML's index or by UUID (its beginning is enough)."""
    by_uuid = bool(setting) and not all(part.strip().isdigit() for part in str(setting).split(","))
    if given == "auto":
        return Pool("gpu", tuple(place_of(gpu, by_uuid) for gpu in visible))
    places = [_named(entry.strip(), visible, by_uuid) for entry in given.split(",")]
    _refuse_twice(given, [place.uuid for place in places])
    return Pool("gpu", tuple(places))


def _named(entry: str, visible: Sequence[GpuFacts], by_uuid: bool) -> Place:
    for gpu in visible:
        if entry == str(gpu.index) or (not entry.isdigit() and entry and gpu.uuid.startswith(entry)):
            return place_of(gpu, by_uuid or not entry.isdigit())
    there = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in visible)
    raise ConfigurationError(
        f"{OPTION}: there is no device {entry!r} to be seen from here. Visible, after CUDA_VISIBLE_DEVICES: {there}"
    )


def place_of(gpu: GpuFacts, by_uuid: bool) -> Place:
    """Named by its index as long as that is enough: older releases of vLLM read nothing else."""
    name = gpu.uuid if by_uuid or gpu.mig else str(gpu.index)
    return Place(name, gpu.memory_bytes, uuid=gpu.uuid)


def pinned(spec: ModelSpec, pool: Pool) -> list[Place] | None:
    """The places that an entry's own CUDA_VISIBLE_DEVICES names, also such as are not in the pool; None without one."""
    setting = spec.environment.get("CUDA_VISIBLE_DEVICES")
    if setting is None or pool.kind != "gpu":
        return None
    known = {place.uuid: place for place in pool.places}
    try:
        return [known.get(gpu.uuid) or place_of(gpu, by_uuid=False) for gpu in listed(setting)]
    except NoDevices:
        return []


def core_pool(given: str, allowed: Iterable[int], memory_bytes: int) -> Pool:
    """`0,1`: two sets of one core; `0-3,4-7`: two of four. `auto`: one set of all cores, so one model at a time."""
    own = sorted(allowed)
    sets = [tuple(own)] if given == "auto" else [_cores(part.strip(), own) for part in given.split(",")]
    _refuse_twice(given, [core for cores in sets for core in cores])
    names = [_span(cores) for cores in sets]
    share = memory_bytes // len(sets)
    return Pool("cores", tuple(Place(n, share, cores) for n, cores in zip(names, sets, strict=True)))


def _cores(part: str, own: Sequence[int]) -> tuple[int, ...]:
    first, _, last = part.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or "-" not in part)):
        raise ConfigurationError(
            f"{OPTION}: {part!r} is no set of cores; this machine shows no GPU, so name cores: 0,1 or 0-3,4-7"
        )
    cores = range(int(first), int(last or first) + 1)
    if not cores or not all(core in own for core in cores):  # ends at the first that is missing
        raise ConfigurationError(
            f"{OPTION}: {part} is not among the cores of this process ({_span(own)}); this machine shows no GPU, so "
            f"core sets are meant"
        )
    return tuple(cores)


def _span(cores: Sequence[int]) -> str:
    whole = list(cores) == list(range(cores[0], cores[-1] + 1))
    return ",".join(map(str, cores)) if not whole or len(cores) == 1 else f"{cores[0]}-{cores[-1]}"


def _refuse_twice(given: str, named: Sequence[object]) -> None:
    if len(set(named)) < len(named):
        raise ConfigurationError(f"{OPTION}={given}: names a device or a core twice")


def machine_memory_bytes(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """This machine's memory, or what its control group leaves of it."""
    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):
        return min(total, int(limit.read_text()))
    return total
