"""What this machine offers, and whether that is enough for a model."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_llmeval.schema import ModelSpec
from pytest_llmeval.units import GIB

if TYPE_CHECKING:
    from pytest_llmeval.telemetry.nvml import Nvml

T = TypeVar("T")

SPLITTING = ("tensor_parallel_size", "pipeline_parallel_size")  # each part holds its share of the weights
USUAL_SHARE = 0.92  # of a device's memory, that vLLM takes where an entry does not say
SERVED_ELSEWHERE = frozenset({"openai"})  # kinds whose model another machine or process holds


@dataclass(frozen=True)
class Device:
    """One NVIDIA GPU as NVML names it; `memory_bytes` is its total memory."""

    index: int
    name: str
    memory_bytes: int


@cache
def gpus() -> tuple[Device, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves visible; empty without a driver. Asked once per process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = _ask(lambda nvml: nvml.devices(visible, sys.maxsize, set)) or ()
    return tuple(Device(gpu.facts.index, gpu.facts.name, gpu.facts.memory_bytes or 0) for gpu in found)


@cache
def driver_version() -> str | None:
    """The NVIDIA driver's version; None without one. Asked once per process."""
    return _ask(lambda nvml: nvml.driver())


def _ask(query: Callable[[Nvml], T]) -> T | None:
    """What the driver answers; None where there is none."""
    from pytest_llmeval.telemetry.nvml import NoDevices, Nvml  # late: who only collects needs no driver

    try:
        nvml = Nvml()
    except NoDevices:
        return None
    try:
        return query(nvml)
    except NoDevices:
        return None
    finally:
        nvml.close()


def has_gpu() -> bool:
    return bool(gpus())


def why_unavailable(
    spec: ModelSpec, found: tuple[Device, ...] | None = None, environ: Mapping[str, str] = os.environ
) -> str | None:
    """One short reason why this machine cannot run `spec`, or None where nothing stands against it."""
    return next(lacks(spec, found, environ), None)


def lacks(
    spec: ModelSpec, found: tuple[Device, ...] | None = None, environ: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Everything that keeps this machine from running `spec`, a short reason each."""
    if spec.kind in SERVED_ELSEWHERE:
        return
    found = gpus() if found is None else found
    reasons = (_missing_device(spec, found), _missing_weights(spec), missing_access(spec, environ))
    yield from (reason for reason in reasons if reason)


def device_count(spec: ModelSpec) -> int:
    """How many devices an engine works on at a time, by its entry's parallel sizes."""
    return _product(spec, (*SPLITTING, "data_parallel_size"))


def weight_parts(spec: ModelSpec) -> int:
    """Among how many devices the weights are split."""
    return _product(spec, SPLITTING)


def read_together(spec: ModelSpec) -> int:
    """On how many devices parts of the same layer lie, so that one token has them read at the same time.

    Stages of a pipeline are read one after the other, and what serves data in parallel serves other requests.
    """
    return _product(spec, SPLITTING[:1])


def memory_share(spec: ModelSpec) -> float:
    """The share of each device's memory that vLLM takes; what is no share is for vLLM to refuse."""
    try:
        share = float(spec.engine.get("gpu_memory_utilization", USUAL_SHARE))
    except (TypeError, ValueError):
        return USUAL_SHARE
    return share if 0 < share <= 1 else USUAL_SHARE


def _product(spec: ModelSpec, sizes: Iterable[str]) -> int:
    """What is no size counts as 1: the engine itself says what is wrong with it."""
    given = (str(spec.engine.get(size, 1)) for size in sizes)
    return math.prod(int(size) for size in given if size.isdecimal() and int(size))


def _missing_device(spec: ModelSpec, found: tuple[Device, ...]) -> str | None:
    if spec.needs.device == "any":
        return None
    gib, count = spec.needs.device_memory_gib, device_count(spec)
    parts = weight_parts(spec)
    wanted = "an NVIDIA GPU" if count == 1 else f"{count} NVIDIA GPUs"
    need = f"needs {wanted} with {gib:g} GiB" if gib else f"needs {wanted}"
    if not found:
        return f"{need}; none found"
    fitting = [device for device in found if device.memory_bytes * parts >= gib * GIB]
    if len(fitting) < count:
        largest = max(device.memory_bytes for device in found) / GIB
        return f"{need}; found {len(found)} × {found[0].name}, {largest:.0f} GiB at most"
    return None


def _missing_weights(spec: ModelSpec) -> str | None:
    path = Path(spec.model)
    if path.is_absolute() and not path.exists():
        return f"its weights are not at {path}"
    return None


def missing_access(spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
    """What can be told without asking the hub: the user is offline, or a gated model has no token."""
    if not spec.needs.hub or Path(spec.model).is_absolute() or is_cached(spec.model, environ):
        return None
    if is_offline(environ):
        return f"{spec.model} is not in the local cache and HF_HUB_OFFLINE is set"
    if spec.needs.gated and not _has_token(spec, environ):
        return f"{spec.model} is gated: accept its terms on its hub page and set {spec.token_env}"
    return None


def is_cached(model: str, environ: Mapping[str, str] = os.environ) -> bool:
    """True where the hub's cache folder holds a snapshot of `model`."""
    repository = hub_home(environ) / f"models--{model.replace('/', '--')}" / "snapshots"
    return repository.is_dir() and any(repository.iterdir())


def hub_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The hub's cache folder, by the variables that huggingface_hub reads."""
    named = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    return _expanded(named) if named else _hf_home(environ) / "hub"


def _hf_home(environ: Mapping[str, str]) -> Path:
    if named := environ.get("HF_HOME"):
        return _expanded(named)
    return _expanded(environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def _has_token(spec: ModelSpec, environ: Mapping[str, str]) -> bool:
    return bool(environ.get(spec.token_env)) or has_login(environ)


def has_login(environ: Mapping[str, str] = os.environ) -> bool:
    """True where the hub's own login left its token."""
    named = environ.get("HF_TOKEN_PATH")
    return (_expanded(named) if named else _hf_home(environ) / "token").is_file()


def is_offline(environ: Mapping[str, str] = os.environ) -> bool:
    """True where the user keeps the hub's library from asking it."""
    said = environ.get("HF_HUB_OFFLINE") or environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.lower() in {"1", "true", "yes", "on"}
