"""The leaderboard as rows of text, shared by every report."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_llmeval.results import ModelResult

HEADINGS = (
    "model",
    "status",
    "pass@1",
    "95 % interval",
    "judged",
    "response",
    "first token",
    "output speed",
    "batch",
)
NOT_MEASURED = "not measured"


def rows(results: Iterable[ModelResult]) -> list[tuple[str, ...]]:
    """One row per model, cells as in HEADINGS."""
    return [_row(result) for result in results]


def _row(result: ModelResult) -> tuple[str, ...]:
    figures = result.summary
    return (
        result.spec.name,
        str(result.status),
        percent(figures.pass_at_1),
        interval(figures.pass_at_1_interval),
        f"{figures.judged} of {result.selected}",
        number(figures.single_stream.response_s, "s", 2),
        number(figures.single_stream.ttft_s, "s", 3),
        number(figures.single_stream.output_tok_s, "tok/s", 0),
        number(figures.batch_tok_s, "tok/s", 0),
    )


def conditions(results: Iterable[ModelResult]) -> str:
    """How the speed figures came about; empty where there are none."""
    speeds = [(result.summary.single_stream, result.summary.in_batch) for result in results]
    probed = max((probe.requests for probe, _ in speeds), default=0)
    shared = max((batch.concurrency or 0 for _, batch in speeds), default=0)
    said = []
    if probed:
        said.append(f"response, first token, output speed: means of {probed} requests sent one at a time")
    if shared:
        said.append(f"batch: all output tokens over the wall time of {shared} requests sent together")
    return "; ".join(said)


def percent(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{100 * share:.1f} %"


def interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:.1f} – {100 * bounds[1]:.1f} %"


def number(value: float | None, unit: str, digits: int) -> str:
    return NOT_MEASURED if value is None else f"{value:.{digits}f} {unit}"
