"""The serving section: what the measuring suites found, as small tables of text, shared by every report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmeval.metrics.latency import Spread
from pytest_llmeval.report.leaderboard import percent
from pytest_llmeval.report.reference import figure, gib, share
from pytest_llmeval.serving.measurements import Measurement, knees

Table = list[tuple[str, ...]]
TITLES = {
    "latency": "one stream",
    "throughput": "many at a time",
    "goodput": "arriving by chance",
    "memory": "memory",
}


def tables(measurements: Sequence[Measurement]) -> list[tuple[str, Table, tuple[str, ...]]]:
    """(title, headings and rows, conditions) of each kind that was measured."""
    rows: dict[str, Callable[[list[Measurement]], Table]] = {
        "latency": latency,
        "throughput": throughput,
        "goodput": goodput,
        "memory": memory,
    }
    found = {kind: [one for one in measurements if one.kind == kind] for kind in rows}
    return [
        (TITLES[kind], rows[kind](of_kind), (conditions(of_kind),))
        for kind, of_kind in found.items()
        if of_kind
    ]


def conditions(measurements: list[Measurement]) -> str:
    """What was asked, in one line."""
    prompts, answers = (
        ", ".join(map(str, sorted({getattr(one, name) for one in measurements})))
        for name in ("prompt_tokens", "output_tokens")
    )
    return (
        f"prompts of {prompts} random tokens, no two alike; answers of exactly {answers}; prefix cache emptied and "
        "engine warmed up before each measurement, nothing else of the run at work"
    )


def latency(measurements: list[Measurement]) -> Table:
    spreads = [
        f"{what} {which}"
        for what in ("first token", "between tokens", "response")
        for which in ("p50", "p95")
    ]
    return [
        ("model", "prompt", "output", "requests", *spreads, "output speed", "of the limit"),
        *(
            (
                one.model,
                *_lengths(one),
                str(one.requests),
                *_ms(_of(one.latencies, "ttft_s"), "p50", "p95"),
                *_ms(_of(one.latencies, "itl_s"), "p50", "p95"),
                *_ms(_of(one.latencies, "response_s"), "p50", "p95"),
                figure(one.stream_tok_s, "tok/s", 0),
                share(one.speed_of_light),
            )
            for one in measurements
        ),
    ]


def throughput(measurements: list[Measurement]) -> Table:
    marked = knees(measurements)
    percentiles = ("p50", "p95", "p99")
    return [
        (
            *("model", "at a time", "requests", "output"),
            *(f"first token {one}" for one in percentiles),
            *(f"between tokens {one}" for one in percentiles),
            *("busy", "J / 1000 tokens"),
        ),
        *(
            (
                one.model,
                f"{one.concurrency}{' (knee)' if marked.get(one.model) == one.concurrency else ''}",
                str(one.requests),
                figure(one.output_tok_s, "tok/s", 0),
                *_ms(_of(one.latencies, "ttft_s"), *percentiles),
                *_ms(_of(one.latencies, "itl_s"), *percentiles),
                figure(_of(one.costs, "busy_percent"), "%", 0),
                figure(one.joules_per_1000_tokens, "J", 0),
            )
            for one in measurements
        ),
    ]


def goodput(measurements: list[Measurement]) -> Table:
    headings = ("model", "arrivals", "requests", "within limits", "first token ≤", "per token ≤")
    return [
        (*headings, "first token p95", "per token p95", "output"),
        *(
            (
                one.model,
                f"{one.rate_per_s:g}/s",
                str(one.requests),
                percent(one.share_within),
                f"{1000 * one.limits.ttft_s:g} ms" if one.limits else "",
                f"{1000 * one.limits.itl_s:g} ms" if one.limits else "",
                *_ms(_of(one.latencies, "ttft_s"), "p95"),
                *_ms(_of(one.latencies, "tpot_s"), "p95"),
                figure(one.output_tok_s, "tok/s", 0),
            )
            for one in measurements
        ),
    ]


def memory(measurements: list[Measurement]) -> Table:
    headings = (
        "model",
        "promised context",
        "answered",
        "KV pool",
        "KV pool tokens",
        "weights",
        "activations",
    )
    return [
        (*headings, "graphs", "where"),
        *(
            (
                one.model,
                f"{one.promised_tokens} tokens",
                "yes" if one.complete else "no",
                gib(_of(one.memory, "kv_pool_bytes")),
                figure(_of(one.memory, "kv_pool_tokens"), "", 0).strip(),
                gib(_of(one.memory, "weights_bytes")),
                gib(_of(one.memory, "activation_peak_bytes")),
                gib(_of(one.memory, "graphs_bytes")),
                one.memory.where if one.memory else "",
            )
            for one in measurements
        ),
    ]


def _of(value: object, name: str) -> Any:
    """A field of something that was perhaps not measured."""
    return None if value is None else getattr(value, name)


def _lengths(one: Measurement) -> tuple[str, str]:
    return f"{one.prompt_tokens} tokens", f"{one.output_tokens} tokens"


def _ms(spread: Spread | None, *which: str) -> tuple[str, ...]:
    return tuple(figure(1000 * getattr(spread, name) if spread else None, "ms", 1) for name in which)
