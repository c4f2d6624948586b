"""The reference table: how fast each model answered, what memory it took, how busy its device was, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_llmeval.report.leaderboard import NOT_MEASURED, number
from pytest_llmeval.runs.costs import Costs
from pytest_llmeval.runs.results import ModelResult
from pytest_llmeval.telemetry.roofline import SpeedOfLight
from pytest_llmeval.units import GIB

NOT_AVAILABLE = "not available"
HEADINGS = (
    *("model", "status", "response", "output speed", "of the limit", "batch", "memory to serve"),
    *("device memory", "host memory", "busy", "J / 1000 tokens", "J / solved"),
)
MEMORY_HEADINGS = (
    *("model", "where", "weights", "peak activations", "graphs", "KV pool", "for"),
    *("KV in use at peak", "device total"),
)


def table(results: Sequence[ModelResult], costs: Mapping[str, Costs]) -> list[tuple[str, ...]]:
    """The headings, then one row per model."""
    return [HEADINGS, *(_row(result, costs[result.spec.name]) for result in results)]


def _row(result: ModelResult, costs: Costs) -> tuple[str, ...]:
    figures = result.summary
    return (
        result.spec.name,
        str(result.status),
        number(figures.single_stream.response_s, "s", 2),
        number(figures.single_stream.output_tok_s, "tok/s", 0),
        share(costs.speed_of_light),
        number(figures.batch_tok_s, "tok/s", 0),
        gib(costs.serve_bytes),
        gib(costs.device_bytes),
        gib(costs.host_bytes),
        figure(costs.busy_percent, "%", 0),
        figure(costs.joules_per_1000_tokens, "J", 0),
        figure(costs.joules_per_solved, "J", 0),
    )


def memory_table(costs: Mapping[str, Costs]) -> list[tuple[str, ...]]:
    """Where each model's memory went; no table where no engine tells."""
    rows = [_memory_row(model, one) for model, one in costs.items() if one.memory]
    return [MEMORY_HEADINGS, *rows] if rows else []


def _memory_row(model: str, costs: Costs) -> tuple[str, ...]:
    memory = costs.memory
    assert memory is not None
    used = costs.kv_peak_share
    return (
        model,
        memory.where,
        gib(memory.weights_bytes),
        gib(memory.activation_peak_bytes),
        gib(memory.graphs_bytes),
        gib(memory.kv_pool_bytes),
        figure(memory.kv_pool_tokens, "tokens", 0),
        f"{100 * used:.1f} %" if used is not None else NOT_AVAILABLE,
        gib(memory.total_bytes),
    )


def conditions(results: Sequence[ModelResult], headings: Sequence[str]) -> tuple[str, ...]:
    """How the figures under these headings came about."""
    probed = max((result.summary.single_stream.requests for result in results), default=0)
    lines = (
        (
            ("response, output speed", f"means of {probed} requests sent one at a time", "response"),
            ("batch", "all output tokens over its wall time", "batch"),
        ),
        (
            ("memory to serve", "weights, peak activations and the KV cache in use", "memory to serve"),
            ("device memory", "all that was held, reserved or used", "device memory"),
            ("host memory", "resident, of the engine's processes", "host memory"),
        ),
        (("busy, energy", "of the batch", "busy"),),
    )
    told = (
        "; ".join(f"{what}: {how}" for what, how, heading in line if heading in headings) for line in lines
    )
    return tuple(filter(None, told))


def sources(costs: Mapping[str, Costs]) -> tuple[str, ...]:
    """Where joules come from, where there are any."""
    found = sorted({source for one in costs.values() if (source := one.energy_source)})
    return (f"energy: whole boards, idle power included, by {', '.join(found)}",) if found else ()


def reasons(costs: Mapping[str, Costs]) -> tuple[str, ...]:
    """Why figures are not available, each reason once with the models it holds for."""
    found: dict[str, list[str]] = {}
    for model, one in costs.items():
        for what, why in one.why.items():
            found.setdefault(f"{what}: {NOT_AVAILABLE}: {why}", []).append(model)
    return tuple(f"{reason} ({', '.join(models)})" for reason, models in found.items())


def share(limit: SpeedOfLight | None) -> str:
    """The share of the memory-bandwidth limit; more than all of it cannot be."""
    if limit is None:
        return NOT_AVAILABLE
    told = f"{100 * limit.share:.0f} %"
    return f"{told}: impossible" if limit.share > 1 else told


def gib(size: int | None) -> str:
    return NOT_AVAILABLE if size is None else f"{size / GIB:.2f} GiB"


def figure(value: float | None, unit: str, digits: int) -> str:
    return number(value, unit, digits).replace(NOT_MEASURED, NOT_AVAILABLE)
