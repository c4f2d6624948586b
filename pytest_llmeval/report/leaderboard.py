"""The leaderboard as rows of text, shared by every report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pytest_llmeval.results import ModelResult
from pytest_llmeval.schema import PassRule

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Column:
    """One figure of every model; `where` leaves the column out of a table to which it would add nothing."""

    heading: str
    cell: Callable[[ModelResult], str]
    where: Callable[[ModelResult], bool] = lambda result: True


def table(results: Sequence[ModelResult]) -> list[tuple[str, ...]]:
    """The headings, then one row per model."""
    columns = [column for column in _columns(results) if any(map(column.where, results))]
    return [
        tuple(column.heading for column in columns),
        *(tuple(column.cell(result) for column in columns) for result in results),
    ]


def _columns(results: Sequence[ModelResult]) -> list[Column]:
    ks = sorted({k for result in results for k in result.summary.pass_at_k} - {1})
    return [
        Column("model", lambda r: r.spec.name),
        Column("status", lambda r: str(r.status)),
        Column("pass@1", lambda r: percent(r.summary.pass_at_1)),
        Column("95 % interval", lambda r: interval(r.summary.pass_at_1_interval)),
        *(_pass_at(k) for k in ks),
        Column("unrepaired", lambda r: percent(r.summary.pass_at_1_unrepaired), where=_was_repaired),
        Column("no code", lambda r: percent(r.summary.no_code)),
        Column("truncated", lambda r: percent(r.summary.truncated)),
        Column("judged", lambda r: f"{r.summary.judged} of {r.selected}"),
        Column("response", lambda r: number(r.summary.single_stream.response_s, "s", 2)),
        Column("first token", lambda r: number(r.summary.single_stream.ttft_s, "s", 3)),
        Column("output speed", lambda r: number(r.summary.single_stream.output_tok_s, "tok/s", 0)),
        Column("batch", lambda r: number(r.summary.batch_tok_s, "tok/s", 0)),
    ]


def _pass_at(k: int) -> Column:
    def cell(result: ModelResult) -> str:
        found = result.summary.pass_at_k.get(k)
        return f"{percent(found.value)} ({interval(found.interval)})" if found else ""

    return Column(f"pass@{k} (95 %)", cell)


def _was_repaired(result: ModelResult) -> bool:
    return result.summary.pass_at_1_unrepaired != result.summary.pass_at_1


def conditions(results: Sequence[ModelResult], rule: PassRule) -> str:
    """How the figures came about; empty where there is nothing to say."""
    speeds = [(result.summary.single_stream, result.summary.in_batch) for result in results]
    probed = max((probe.requests for probe, _ in speeds), default=0)
    shared = max((batch.concurrency or 0 for _, batch in speeds), default=0)
    said = [*_about_sampling(results, rule)]
    reused = sum(result.summary.reused for result in results)
    if reused:
        answers = sum(sum(result.summary.outcomes.values()) for result in results)
        said.append(f"{reused} of {answers} answers are an earlier run's and enter no figure of speed")
    if probed:
        said.append(f"response, first token, output speed: means of {probed} requests sent one at a time")
    if shared:
        said.append(f"batch: all output tokens over the wall time of {shared} requests sent together")
    return "; ".join(said)


def _about_sampling(results: Iterable[ModelResult], rule: PassRule) -> list[str]:
    if all(result.summary.samples <= result.summary.judged for result in results):
        return []
    passes = {
        PassRule.ANY: "one of its samples does",
        PassRule.ALL: "all its samples do",
        PassRule.MAJORITY: "more than half of its samples do",
    }
    return [f"an item passes when {passes[rule]} (--llmeval-pass {rule})", "intervals are over problems"]


def percent(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{100 * share:.1f} %"


def interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:.1f} – {100 * bounds[1]:.1f} %"


def number(value: float | None, unit: str, digits: int) -> str:
    return NOT_MEASURED if value is None else f"{value:.{digits}f} {unit}"
