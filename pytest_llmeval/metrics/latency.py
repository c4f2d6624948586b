"""Serving figures from timed requests; definitions, units and sources are in docs/metrics.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from pytest_llmeval.schema import Completion, Timing


@dataclass(frozen=True)
class Spread:
    """Mean and percentiles of one quantity, in its own unit, over `count` values."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None without values."""
        ordered = sorted(values)
        if not ordered:
            return None
        p50, p95, p99 = (percentile(ordered, share) for share in (0.50, 0.95, 0.99))
        return cls(len(ordered), fmean(ordered), p50, p95, p99, ordered[0], ordered[-1])


@dataclass(frozen=True)
class Limits:
    """What a request must keep to, in seconds: to its first token, and between tokens on its average."""

    ttft_s: float
    itl_s: float

    def met_by(self, completion: Completion) -> bool:
        timing = completion.timing
        # Who was asked when the engine died also waited for a new one.
        if timing is None or timing.ttft_s is None or timing.disturbed:
            return False
        per_token = time_per_output_token(completion)
        return timing.ttft_s <= self.ttft_s and (per_token is None or per_token <= self.itl_s)


@dataclass(frozen=True)
class Latencies:
    """Seconds of a set of requests: to the first token, between tokens, per output token, in all."""

    ttft_s: Spread | None
    itl_s: Spread | None
    tpot_s: Spread | None
    response_s: Spread | None


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of ascending values lie, interpolated linearly (numpy's default, as vLLM)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def time_per_output_token(completion: Completion) -> float | None:
    """Seconds per token after the first: (response − first token) / (tokens − 1); None below two tokens."""
    timing, tokens = completion.timing, completion.completion_tokens or 0
    if timing is None or timing.decode_s is None or tokens < 2:
        return None
    return timing.decode_s / (tokens - 1)


def gaps(timing: Timing) -> list[float]:
    """Seconds between successive tokens; empty where the engine did not tell the time of each."""
    stamps = timing.token_s or ()
    return [later - earlier for earlier, later in pairwise(stamps)]


def latencies(completions: Iterable[Completion]) -> Latencies:
    """Spreads over requests; between tokens, over all gaps of all requests, as `vllm bench serve` does."""
    every = [c for c in completions if c.timing is not None and c.timing.disturbed is None]
    timings = [completion.timing for completion in every if completion.timing is not None]
    return Latencies(
        ttft_s=Spread.of(t.ttft_s for t in timings if t.ttft_s is not None),
        itl_s=Spread.of(gap for timing in timings for gap in gaps(timing)),
        tpot_s=Spread.of(value for c in every if (value := time_per_output_token(c)) is not None),
        response_s=Spread.of(t.e2e_s for t in timings if t.e2e_s is not None),
    )


def knee(throughput: Sequence[tuple[int, float]]) -> int | None:
    """Where more concurrency begins to buy waiting instead of output; None below three levels.

    `throughput` holds (concurrency, output tokens a second). The level with the greatest power, which is
    throughput over response time (Kleinrock 1979, "Power and deterministic rules of thumb"): by Little's law
    response time is proportional to concurrency over throughput, so power is throughput² / concurrency.
    """
    if len(throughput) < 3:
        return None
    return max(throughput, key=lambda level: level[1] ** 2 / level[0])[0]
