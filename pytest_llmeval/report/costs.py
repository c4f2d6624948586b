"""What a model cost while it answered: memory, utilisation, energy; or, in words, why that is not known."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmeval.results import ModelResult
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.telemetry.watch import ModelTelemetry

GIB = 2**30
NO_TELEMETRY = "no telemetry was taken in this run"
NO_DEVICE = "no device was watched"


@dataclass(frozen=True)
class Cost:
    """One figure: `shown` with its unit and `value` to sort by, or None and `why` not."""

    shown: str | None = None
    value: float | None = None
    why: str = ""


def memory(run: LoadedRun, model: ModelResult) -> Cost:
    """Weights and KV cache as the engine tells them; else the peak of the devices, else of the host's processes."""
    parts = model.info.memory
    if parts and parts.weights_bytes is not None:
        pool = "" if parts.kv_pool_bytes is None else f" + {parts.kv_pool_bytes / GIB:.2f} GiB KV cache"
        where = "host: " if parts.where == "host" else ""
        return Cost(f"{where}{parts.weights_bytes / GIB:.2f} GiB weights{pool}", float(parts.weights_bytes))
    telemetry = run.telemetry.get(model.spec.name)
    if telemetry is None:
        return Cost(why=NO_TELEMETRY)
    if (peak := telemetry.memory_peak_bytes) is not None:
        return Cost(f"device: {peak / GIB:.2f} GiB at its peak", float(peak))
    if (peak := telemetry.host_memory_peak_bytes) is not None:
        return Cost(f"host: {peak / GIB:.2f} GiB RSS at its peak", float(peak))
    return Cost(why=_why(telemetry))


def utilisation(run: LoadedRun, model: ModelResult) -> Cost:
    """Mean share of time in which the devices were busy during the batch."""
    telemetry = run.telemetry.get(model.spec.name)
    phase = telemetry.phase("batch") if telemetry else None
    if telemetry is None or phase is None:
        return Cost(why=NO_TELEMETRY if telemetry is None else "no batch was watched")
    busy = phase.busy_percent
    return Cost(why=_why(telemetry)) if busy is None else Cost(f"{busy:.0f} %", busy)


def energy(run: LoadedRun, model: ModelResult) -> Cost:
    """Joules of all devices over the batch per output token, idle power included."""
    telemetry = run.telemetry.get(model.spec.name)
    phase = telemetry.phase("batch") if telemetry else None
    if telemetry is None or phase is None:
        return Cost(why=NO_TELEMETRY if telemetry is None else "no batch was watched")
    if phase.energy_j is None or not telemetry.output_tokens:
        return Cost(why=_why(telemetry))
    joules = phase.energy_j / telemetry.output_tokens
    return Cost(f"{joules:.3f} J/token", joules)


def _why(telemetry: ModelTelemetry) -> str:
    """The recorded reason, the device's first."""
    return next((telemetry.why[key] for key in ("device", "host") if key in telemetry.why), NO_DEVICE)
