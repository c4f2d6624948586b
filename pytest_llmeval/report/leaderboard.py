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
        number(figures.response_s, "s", 2),
        number(figures.output_tok_s, "tok/s", 0),
        number(figures.batch_tok_s, "tok/s", 0),
    )


def conditions(results: Iterable[ModelResult]) -> str:
    """How the speed figures came about; empty where there are none."""
    levels = sorted({level for r in results if (level := r.summary.concurrency) is not None})
    if not levels:
        return ""
    shown = " or ".join(str(level) for level in levels)
    return (
        f"response and output speed: mean per request while up to {shown} requests shared the engine, "
        f"waiting included; batch: all output tokens over the batch's wall time"
    )


def percent(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{100 * share:.1f} %"


def interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:.1f} – {100 * bounds[1]:.1f} %"


def number(value: float | None, unit: str, digits: int) -> str:
    return NOT_MEASURED if value is None else f"{value:.{digits}f} {unit}"
