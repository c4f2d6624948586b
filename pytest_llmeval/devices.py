"""What this machine offers, and whether that is enough for a model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pytest_llmeval.schema import ModelSpec

GIB = 1 << 30
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
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        found = [_device(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()
    return tuple(device for device in found if _visible(device, os.environ.get("CUDA_VISIBLE_DEVICES")))


@cache
def driver_version() -> str | None:
    """The NVIDIA driver's version; None without one. Asked once per process."""
    import pynvml

    try:
        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    return version if isinstance(version, str) else str(version.decode())


def _device(index: int) -> Device:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    name = pynvml.nvmlDeviceGetName(handle)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    return Device(index, name if isinstance(name, str) else name.decode(), int(memory))


def _visible(device: Device, setting: str | None) -> bool:
    """Indices only; a list of UUIDs leaves all visible, because the names are not ours to resolve here."""
    if setting is None:
        return True
    parts = [part.strip() for part in setting.split(",") if part.strip()]
    return str(device.index) in parts if all(part.isdigit() for part in parts) else True


def driver() -> str | None:
    """The version of NVIDIA's driver; None without one."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        version = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    return version if isinstance(version, str) else version.decode()


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
    reasons = (_missing_device(spec, found), _missing_weights(spec), _missing_access(spec, environ))
    yield from (reason for reason in reasons if reason)


def _missing_device(spec: ModelSpec, found: tuple[Device, ...]) -> str | None:
    if spec.needs.device == "any":
        return None
    gib = spec.needs.device_memory_gib
    count = int(spec.engine.get("tensor_parallel_size", 1)) * int(
        spec.engine.get("pipeline_parallel_size", 1)
    )
    wanted = "an NVIDIA GPU" if count == 1 else f"{count} NVIDIA GPUs"
    need = f"needs {wanted} with {gib:g} GiB" if gib else f"needs {wanted}"
    if not found:
        return f"{need}; none found"
    fitting = [device for device in found if device.memory_bytes * count >= gib * GIB]
    if len(fitting) < count:
        largest = max(device.memory_bytes for device in found) / GIB
        return f"{need}; found {len(found)} × {found[0].name}, {largest:.0f} GiB at most"
    return None


def _missing_weights(spec: ModelSpec) -> str | None:
    path = Path(spec.model)
    if path.is_absolute() and not path.exists():
        return f"its weights are not at {path}"
    return None


def _missing_access(spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
    if not spec.needs.hub or Path(spec.model).is_absolute() or is_cached(spec.model, environ):
        return None
    if environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
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
    if "HF_HUB_CACHE" in environ:
        return Path(environ["HF_HUB_CACHE"])
    return _hf_home(environ) / "hub"


def _hf_home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")


def _has_token(spec: ModelSpec, environ: Mapping[str, str]) -> bool:
    return bool(environ.get(spec.token_env)) or (_hf_home(environ) / "token").is_file()
