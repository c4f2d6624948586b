"""The leaderboard as rows of text, shared by every report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pytest_llmeval.runs.results import Line, ModelResult, Status
from pytest_llmeval.schema import PassRule

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Column:
    """One figure of every line; `where` leaves the column out of a table to which it would add nothing."""

    heading: str
    cell: Callable[[Line], str]
    where: Callable[[Line], bool] = lambda line: True


def table(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """The headings, then one row per model and problem set."""
    columns = [column for column in _columns(lines) if any(map(column.where, lines))]
    return [
        tuple(column.heading for column in columns),
        *(tuple(column.cell(line) for column in columns) for line in lines),
    ]


def _columns(lines: Sequence[Line]) -> list[Column]:
    several = has_several_sets(lines)
    return [
        Column("model", lambda line: line.name),
        Column("problem set", lambda line: line.problem_set, where=lambda line: several),
        Column("status", lambda line: str(line.status)),
        Column("pass@1", lambda line: percent(line.figures.pass_at_1)),
        Column(
            "95 % interval",
            lambda line: interval(line.figures.pass_at_1_interval),
            where=lambda line: line.figures.pass_at_1_interval is not None,
        ),
        *(_pass_at(k) for k in ks(lines)),
        Column("unrepaired", lambda line: percent(line.figures.pass_at_1_unrepaired), where=_was_repaired),
        Column("no code", lambda line: percent(line.figures.no_code)),
        Column("truncated", lambda line: percent(line.figures.truncated)),
        Column("judged", judged),
        Column("response", lambda line: number(line.model.summary.single_stream.response_s, "s", 2)),
        Column("first token", lambda line: number(line.model.summary.single_stream.ttft_s, "s", 3)),
        Column(
            "output speed", lambda line: number(line.model.summary.single_stream.output_tok_s, "tok/s", 0)
        ),
        Column("batch", lambda line: number(line.model.summary.batch_tok_s, "tok/s", 0)),
    ]


def has_several_sets(lines: Iterable[Line]) -> bool:
    """True where lines must say which problem set they are about."""
    return len({line.problem_set for line in lines if line.problem_set}) > 1


def named(line: Line, lines: Iterable[Line]) -> str:
    """The model's name; its problem set too where there are several."""
    return f"{line.name}, {line.problem_set}" if has_several_sets(lines) else line.name


def ks(lines: Iterable[Line]) -> list[int]:
    """The k above 1 for which any line has a pass@k."""
    return sorted({k for line in lines for k in line.figures.pass_at_k} - {1})


def judged(line: Line) -> str:
    """`160 of 164`."""
    return f"{line.figures.judged} of {line.figures.selected}"


def faults(line: Line) -> int:
    """Problems that ended in a fault: of an engine that did not load or died, all that have no verdict."""
    figures = line.figures
    return figures.selected - figures.judged if line.status is Status.FAULTED else figures.faults


def _pass_at(k: int) -> Column:
    def cell(line: Line) -> str:
        found = line.figures.pass_at_k.get(k)
        return f"{percent(found.value)} ({interval(found.interval)})" if found else ""

    return Column(f"pass@{k} (95 %)", cell)


def _was_repaired(line: Line) -> bool:
    return line.figures.pass_at_1_unrepaired != line.figures.pass_at_1


def conditions(results: Sequence[ModelResult], rule: PassRule) -> str:
    """How the figures came about; empty where there is nothing to say."""
    speeds = [(result.summary.single_stream, result.summary.in_batch) for result in results]
    probed = max((probe.requests for probe, _ in speeds), default=0)
    shared = max((batch.concurrency or 0 for _, batch in speeds), default=0)
    said = [*_about_sampling(results, rule)]
    if any(len(result.problem_sets) > 1 for result in results):
        said.append("speeds are a model's over all its problem sets")
    reused = sum(result.summary.reused for result in results)
    if reused:
        answers = sum(sum(one.outcomes.values()) for r in results for one in r.problem_sets.values())
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
