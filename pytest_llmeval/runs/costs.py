"""What a model cost in a run, read back from its folder: memory, utilisation, energy, the share of the limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmeval.devices import read_together
from pytest_llmeval.engines import EngineStatus
from pytest_llmeval.runs.results import ModelResult
from pytest_llmeval.schema import MemoryBreakdown, ModelSpec
from pytest_llmeval.serving.checkpoint import config_of
from pytest_llmeval.store import file_name, read_document
from pytest_llmeval.telemetry.figures import PhaseFigures
from pytest_llmeval.telemetry.roofline import (
    SpeedOfLight,
    bandwidth_of,
    draws_several,
    shape_of,
    speed_of_light,
)
from pytest_llmeval.telemetry.watch import ModelTelemetry

BATCH = "batch"
NO_TELEMETRY = "the model was not opened, or --llmeval-telemetry is off"
SPECULATIVE = "speculative decoding may draw several tokens for one reading of the weights"
APART = "the model was watched in several runs: each one's telemetry stands in runs/"


@dataclass(frozen=True)
class Seen:
    """What telemetry/<model>.json holds: what was sampled, and how the engine fared."""

    telemetry: ModelTelemetry
    status: EngineStatus


@dataclass(frozen=True)
class Costs:
    """Figures of one model; None: not available, and `why` says for which reason.

    `memory` is where the engine says its memory went, `kv_peak_share` and `kv_peak_tokens` the most of the KV pool
    that was in use at a time. `serve_bytes` is what serving this took: weights, the peak of activations, and the KV
    cache in use at its peak. `device_bytes` is everything that its devices held at their peak, under vLLM mostly
    what it reserved. `busy_percent` and the joules are of the batch; energy is the whole board's, idle power
    included.
    """

    memory: MemoryBreakdown | None = None
    kv_peak_share: float | None = None
    kv_peak_tokens: int | None = None
    serve_bytes: int | None = None
    device_bytes: int | None = None
    host_bytes: int | None = None
    busy_percent: float | None = None
    cpu_cores: float | None = None
    joules_per_1000_tokens: float | None = None
    joules_per_solved: float | None = None
    energy_source: str | None = None
    speed_of_light: SpeedOfLight | None = None
    why: dict[str, str] = field(default_factory=dict)

    def reason(self, *figures: str) -> str:
        """Why the first of these figures that has a reason is not available."""
        return next((self.why[one] for one in figures if one in self.why), "")


def read(folder: Path, model: str) -> Seen | None:
    """What a run's folder tells of a model's telemetry; None where it was not watched.

    Raises:
        LLMEvalError: the file is damaged.
    """
    path = folder / "telemetry" / f"{file_name(model)}.json"
    seen: Seen | None = read_document(path, Seen) if path.is_file() else None
    return seen


def why_not_seen(folder: Path, model: str) -> str:
    """Why a run's folder tells nothing of a model's telemetry: there is none, or several runs have theirs."""
    apart = any(folder.glob(f"runs/*/telemetry/{file_name(model)}.json"))
    return APART if apart else NO_TELEMETRY


def costs_of(result: ModelResult, seen: Seen | None, unseen: str = NO_TELEMETRY) -> Costs:
    """One model's costs, from its result and what was seen of it; None: nothing was, and `unseen` says why."""
    memory = result.info.memory
    if seen is None:
        return Costs(memory=memory, why={"telemetry": unseen})
    telemetry, why = seen.telemetry, dict(seen.telemetry.why)
    batch = telemetry.phase(BATCH)
    energy, reason = _batch_energy(result, telemetry, batch)
    if reason:
        why["energy"] = reason
    serve_bytes, missing = memory_to_serve(result.spec, memory, seen.status)
    if missing:
        why["memory to serve"] = missing
    if draws_several(result.spec.engine):
        why["of the limit"] = SPECULATIVE
    tokens, solved = telemetry.output_tokens, result.summary.solved
    return Costs(
        memory=memory,
        kv_peak_share=seen.status.kv_peak_share,
        kv_peak_tokens=seen.status.kv_peak_tokens,
        serve_bytes=serve_bytes,
        device_bytes=telemetry.memory_peak_bytes,
        host_bytes=telemetry.host_memory_peak_bytes,
        busy_percent=batch.busy_percent if batch else None,
        cpu_cores=_cores(batch),
        joules_per_1000_tokens=1000 * energy / tokens if energy and tokens else None,
        joules_per_solved=energy / solved if energy and solved else None,
        energy_source=batch.energy_source if batch and energy else None,
        speed_of_light=_limit(result, telemetry),
        why=why,
    )


def memory_to_serve(
    spec: ModelSpec, memory: MemoryBreakdown | None, status: EngineStatus
) -> tuple[int, None] | tuple[None, str]:
    """Weights + peak activations + the KV cache in use at its peak, in bytes; or which of them is not known."""
    if memory is None:
        return None, "the engine does not tell where its memory goes"
    parts = {
        "weights": memory.weights_bytes,
        "peak activations": memory.activation_peak_bytes,
        "KV pool": memory.kv_pool_bytes,
        "KV cache in use": status.kv_peak_share,
    }
    if unknown := [name for name, part in parts.items() if part is None]:
        return None, f"the engine does not tell: {', '.join(unknown)}{_why_no_peak(spec, memory)}"
    used = round((status.kv_peak_share or 0) * (memory.kv_pool_bytes or 0))
    return (memory.weights_bytes or 0) + (memory.activation_peak_bytes or 0) + used, None


def _why_no_peak(spec: ModelSpec, memory: MemoryBreakdown) -> str:
    """Why vLLM has no peak of activations: it finds it while it measures how much room the KV pool may take."""
    if memory.activation_peak_bytes is not None or spec.kind != "vllm":
        return ""
    if memory.where == "host":
        return " (vLLM measures it on devices alone)"
    forced = spec.engine.get("kv_cache_memory_bytes")
    return " (kv_cache_memory_bytes is set, so vLLM measures no peak)" if forced else ""


def _batch_energy(
    result: ModelResult, telemetry: ModelTelemetry, batch: PhaseFigures | None
) -> tuple[float | None, str | None]:
    if batch is None or batch.energy_j is None:
        return None, None  # the devices' own reasons stand for it
    if result.summary.disturbed:
        return None, "the engine died under way: its batch's energy is also that of another start"
    if telemetry.output_tokens != result.summary.output_tokens:
        return (
            None,
            "some of the answers are an earlier run's, or were not judged, or their tokens not counted",
        )
    return batch.energy_j, None


def _cores(batch: PhaseFigures | None) -> float | None:
    used = batch.host.cpu_s if batch else None
    return used / batch.seconds if batch and used is not None and batch.seconds else None


def _limit(result: ModelResult, telemetry: ModelTelemetry) -> SpeedOfLight | None:
    """The probe's output speed against the memory bandwidth, context left out: the share is a little too low."""
    speed, memory = result.summary.single_stream.output_tok_s, result.info.memory
    if not speed or not telemetry.devices or memory is None or not memory.weights_bytes:
        return None
    if draws_several(result.spec.engine):
        return None
    first = telemetry.devices[0]
    bandwidth = bandwidth_of(first.name, first.bandwidth_bytes_s)
    if bandwidth is None:
        return None
    config: Any = config_of(result.spec)
    return speed_of_light(
        speed,
        weight_bytes=memory.weights_bytes,
        shape=shape_of(config) if config else None,
        context_tokens=0,
        kv_value_bytes=0,
        bandwidth=bandwidth,
        devices=min(read_together(result.spec), len(telemetry.devices)),
    )
