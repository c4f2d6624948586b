"""One figure per run and measure, out of what a run left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple


class Measure(NamedTuple):
    """One figure per run. `bigger_is_worse` is its direction."""

    says: str
    unit: str
    bigger_is_worse: bool


MEASURES: dict[str, Measure] = {
    "response_time": Measure("median response time, one request at a time", "s", True),
    "first_token": Measure("median time to the first token, one request at a time", "s", True),
    "output_speed": Measure("median output speed, one request at a time", "tok/s", False),
    "batch_speed": Measure("output tokens over the batch's wall time", "tok/s", False),
    "energy": Measure("energy per output token", "J", True),
    "memory": Measure("peak memory of the devices, or of the processes where there are none", "bytes", True),
}


def measures_of(
    probe: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
    telemetry: Mapping[str, Any],
    reused: bool,
) -> dict[str, float]:
    """One figure per measure; what was not measured is absent. Medians: one slow request is no slow run."""
    times = [(answer, answer.get("timing") or {}) for answer in probe]
    times = [(answer, timing) for answer, timing in times if not timing.get("disturbed")]
    found = {
        "response_time": _median(timing.get("e2e_s") for _, timing in times),
        "first_token": _median(timing.get("ttft_s") for _, timing in times),
        "output_speed": _median(_speed(answer, timing) for answer, timing in times),
        # Answers of an earlier run cost this one no time.
        "batch_speed": None if reused else figures.get("batch_tok_s"),
        # Of an engine that died under way it is also that of another start.
        "energy": None if figures.get("disturbed") else energy_per_token(telemetry),
        "memory": memory_peak(telemetry),
    }
    return {name: float(value) for name, value in found.items() if value is not None and value > 0}


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _speed(answer: Mapping[str, Any], timing: Mapping[str, Any]) -> float | None:
    """Tokens per second after the first one."""
    tokens, seconds = answer.get("completion_tokens") or 0, timing.get("decode_s")
    return (tokens - 1) / seconds if tokens > 1 and seconds else None


def energy_per_token(telemetry: Mapping[str, Any]) -> float | None:
    """Joules of all devices over the batch per output token; None where one of them does not tell."""
    for phase in telemetry.get("phases", ()):
        joules = [device.get("energy_j") for device in phase.get("devices", ())]
        tokens = telemetry.get("output_tokens") or 0
        if phase.get("name") == "batch" and tokens and joules and None not in joules:
            return float(sum(joules) / tokens)
    return None


def memory_peak(telemetry: Mapping[str, Any]) -> float | None:
    """The most that all devices together held in any phase, or, without devices, the engine's processes."""
    devices = [
        [d.get("memory_peak_bytes") for d in p.get("devices", ())] for p in telemetry.get("phases", ())
    ]
    host = [(p.get("host") or {}).get("rss_peak_bytes") for p in telemetry.get("phases", ())]
    if any(devices):
        return max((sum(held) for held in devices if held and None not in held), default=None)
    return max((held for held in host if held is not None), default=None)
