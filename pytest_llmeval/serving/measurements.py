"""What is left of a measurement, and its file: serving/<model>.jsonl in a run's folder, one a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from pytest_llmeval.metrics.latency import Latencies, Limits, knee, latencies
from pytest_llmeval.schema import Completion, MemoryBreakdown
from pytest_llmeval.serving.loads import Answers
from pytest_llmeval.telemetry.figures import PhaseFigures
from pytest_llmeval.telemetry.roofline import SpeedOfLight

Kind = Literal["latency", "throughput", "goodput", "memory"]


@dataclass(frozen=True)
class Measurement:
    """One measurement of one model.

    `concurrency` requests were always under way, or they arrived at `rate_per_s`; each had `prompt_tokens` and
    was answered with `output_tokens`. `seconds` is first sending to last answer. `share_within` is the share of
    all requests that kept to `limits`. `costs` is telemetry over the same time. `responses_s` is each request's
    response time, for pytest-benchmark; the file has their spread in `latencies`.
    """

    kind: Kind
    model: str
    prompt_tokens: int
    output_tokens: int
    requests: int
    failed: int
    seconds: float
    concurrency: int | None = None
    rate_per_s: float | None = None
    total_output_tokens: int | None = None
    latencies: Latencies | None = None
    limits: Limits | None = None
    share_within: float | None = None
    costs: PhaseFigures | None = None
    speed_of_light: SpeedOfLight | None = None
    memory: MemoryBreakdown | None = None
    promised_tokens: int | None = None
    failures: tuple[str, ...] = ()
    responses_s: tuple[float, ...] = ()

    @property
    def complete(self) -> bool:
        """True where every request was answered, in full length."""
        wanted = (self.requests - self.failed) * self.output_tokens
        return not self.failed and self.total_output_tokens == wanted

    @property
    def output_tok_s(self) -> float | None:
        """Output tokens of all requests over the wall time."""
        return self.total_output_tokens / self.seconds if self.total_output_tokens and self.seconds else None

    @property
    def stream_tok_s(self) -> float | None:
        """Output tokens a second of one stream, after its first token."""
        spread = self.latencies.tpot_s if self.latencies else None
        return 1 / spread.mean if spread and spread.mean else None

    @property
    def joules_per_1000_tokens(self) -> float | None:
        energy = self.costs.energy_j if self.costs else None
        return 1000 * energy / self.total_output_tokens if energy and self.total_output_tokens else None

    @property
    def benchmarked(self) -> dict[str, Any]:
        """What pytest-benchmark's file says of it: what was asked, and the figures that came out."""
        asked = ("kind", "model", "prompt_tokens", "output_tokens", "concurrency", "rate_per_s", "requests")
        found = ("failed", "output_tok_s", "stream_tok_s", "share_within", "joules_per_1000_tokens")
        latencies = to_jsonable_python(self.latencies)
        return {**{name: getattr(self, name) for name in (*asked, *found)}, "latencies": latencies}

    def explain(self) -> str:
        """Why it is not complete, in one line."""
        if self.failed:
            return f"{self.failed} of {self.requests} requests failed; the first: {self.failures[0]}"
        wanted = self.requests * self.output_tokens
        return f"{self.total_output_tokens} of {wanted} output tokens came: an answer ended early"


def measured(kind: Kind, model: str, lengths: tuple[int, int], answers: Answers) -> Measurement:
    """The measurement that a set of answers makes; `lengths` in tokens, in and out."""
    completions = answers.completions
    return Measurement(
        kind,
        model,
        *lengths,
        requests=len(completions) + len(answers.failures),
        failed=len(answers.failures),
        seconds=answers.seconds,
        total_output_tokens=_tokens(completions),
        latencies=latencies(completions),
        failures=tuple(answers.failures[:3]),
        responses_s=tuple(
            one.timing.e2e_s
            for one in completions
            if one.timing and one.timing.e2e_s is not None and not one.timing.disturbed
        ),
    )


def within(measurement: Measurement, completions: Sequence[Completion], limits: Limits) -> Measurement:
    """The measurement with the share of its requests that kept to `limits`; a failed request did not."""
    kept = sum(limits.met_by(completion) for completion in completions)
    return replace(measurement, limits=limits, share_within=kept / measurement.requests)


def _tokens(completions: Sequence[Completion]) -> int | None:
    counts = [completion.completion_tokens for completion in completions]
    return None if None in counts else sum(count or 0 for count in counts)


def knees(measurements: Sequence[Measurement]) -> dict[str, int]:
    """Model → concurrency at the knee of its throughput measurements, where there are enough."""
    levels: dict[str, list[tuple[int, float]]] = {}
    for one in measurements:
        if one.kind == "throughput" and one.concurrency and one.output_tok_s:
            levels.setdefault(one.model, []).append((one.concurrency, one.output_tok_s))
    found = {model: knee(sorted(each)) for model, each in levels.items()}
    return {model: level for model, level in found.items() if level is not None}


@cache
def _adapter() -> TypeAdapter[Measurement]:
    return TypeAdapter(Measurement)


def append(path: Path, measurement: Measurement) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = to_jsonable_python(replace(measurement, responses_s=()))
    with path.open("a", encoding="ascii") as file:
        file.write(json.dumps(table, allow_nan=False) + "\n")


def read(folder: Path) -> list[Measurement]:
    """Every whole measurement of a run, model by model."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="ascii").splitlines(keepends=True):
            if line.endswith("\n"):
                found.append(_adapter().validate_python(json.loads(line)))
    return found
