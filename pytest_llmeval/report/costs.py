"""A model's costs, each in one cell: memory, utilisation, energy; or, in words, why that is not known."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmeval.report.reference import gib
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import ModelResult

NO_DEVICE = "no device was watched"
NO_BATCH = "no batch was watched"


@dataclass(frozen=True)
class Cost:
    """One figure: `shown` with its unit and `value` to sort by, or None and `why` not."""

    shown: str | None = None
    value: float | None = None
    why: str = ""


def memory(run: LoadedRun, model: ModelResult) -> Cost:
    """Weights and KV cache as the engine tells them; else the peak of the devices, else of the host's processes."""
    costs = run.costs[model.spec.name]
    if costs.memory and costs.memory.weights_bytes is not None:
        pool = costs.memory.kv_pool_bytes
        and_pool = "" if pool is None else f" + {gib(pool)} KV cache"
        where = "host: " if costs.memory.where == "host" else ""
        weights = costs.memory.weights_bytes
        return Cost(f"{where}{gib(weights)} weights{and_pool}", float(weights))
    if costs.device_bytes is not None:
        return Cost(f"device: {gib(costs.device_bytes)} at its peak", float(costs.device_bytes))
    if costs.host_bytes is not None:
        return Cost(f"host: {gib(costs.host_bytes)} RSS at its peak", float(costs.host_bytes))
    return Cost(why=costs.reason("telemetry", "device", "host") or NO_DEVICE)


def utilisation(run: LoadedRun, model: ModelResult) -> Cost:
    """Mean share of time in which the devices were busy during the batch."""
    costs = run.costs[model.spec.name]
    if (busy := costs.busy_percent) is not None:
        return Cost(f"{busy:.0f} %", busy)
    return Cost(why=costs.reason("telemetry", "device", "busy_percent") or NO_BATCH)


def energy(run: LoadedRun, model: ModelResult) -> Cost:
    """Joules of all devices over the batch per 1,000 output tokens, idle power included."""
    costs = run.costs[model.spec.name]
    if (joules := costs.joules_per_1000_tokens) is not None:
        return Cost(f"{joules:.0f} J per 1,000 tokens", joules)
    return Cost(why=costs.reason("telemetry", "device", "energy", "energy_j", "power_w") or NO_BATCH)
