"""The leaderboard as static HTML: every figure with its unit, an interval drawn, and a reason where none was taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmeval.report import costs
from pytest_llmeval.report.headline import counted
from pytest_llmeval.report.leaderboard import faults, has_several_sets, interval, judged, ks, percent
from pytest_llmeval.report.text import html
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import Line, ModelResult

Value = float | None
DENSE = 13  # columns; more of them are written smaller


@dataclass(frozen=True)
class Cell:
    """What a cell shows (HTML), what its column is sorted by, and words for whoever points at it.

    `why` says why there is no figure; the table tells each reason once, below.
    """

    shown: str
    key: float | str | None = None
    told: str = ""
    why: str = ""

    def td(self, label: str, reasons: Mapping[str, int]) -> str:
        key = "" if self.key is None else f" data-v='{html(self.key)}'"
        told = f" title='{html(self.told or self.why)}'" if self.told or self.why else ""
        note = f"<sup>{reasons[self.why]}</sup>" if self.why else ""
        return f"<td{key}{told} data-l='{html(label)}'><div>{self.shown}{note}</div></td>"


@dataclass(frozen=True)
class Figure:
    """One column: heading, unit, explanation, and the cell of a line."""

    heading: str
    unit: str
    told: str
    cell: Callable[[Line], Cell]

    @property
    def th(self) -> str:
        unit = f"<small>{html(self.unit)}</small>" if self.unit else ""
        return f"<th scope=col title='{html(self.told)}'>{html(self.heading)}{unit}</th>"


@dataclass(frozen=True)
class Group:
    """Columns under a heading of their own, which says under which condition they were taken."""

    heading: str
    figures: Sequence[Figure]

    @property
    def th(self) -> str:
        return f"<th scope=colgroup colspan={len(self.figures)}>{html(self.heading)}</th>"

    def label(self, figure: Figure) -> str:
        """What a figure is called where it stands alone."""
        return ", ".join(filter(None, (figure.heading, figure.unit, self.heading)))


def board_html(run: LoadedRun) -> str:
    """The table, and below it why figures are missing."""
    groups = _groups(run)
    figures = [figure for group in groups for figure in group.figures]
    labels = [group.label(figure) for group in groups for figure in group.figures]
    cells = [(line, [figure.cell(line) for figure in figures]) for line in run.lines]
    reasons = _numbered(cell.why for _, row in cells for cell in row)
    rows = "".join(
        f"<tr class={html(line.status)}>"
        + "".join(cell.td(label, reasons) for cell, label in zip(row, labels, strict=True))
        + "</tr>"
        for line, row in cells
    )
    heads = "".join(group.th for group in groups), "".join(figure.th for figure in figures)
    dense = " dense" if len(figures) > DENSE else ""
    return (
        f"<div class=scroll><table class='board main sortable-table{dense}'><thead><tr class=groups>{heads[0]}</tr>"
        f"<tr>{heads[1]}</tr></thead><tbody>{rows}</tbody></table></div>{_notes(reasons)}"
    )


def _numbered(reasons: Iterable[str]) -> dict[str, int]:
    return {why: number for number, why in enumerate(dict.fromkeys(filter(None, reasons)), 1)}


def _notes(reasons: Mapping[str, int]) -> str:
    told = "".join(f"<li>{html(why)}</li>" for why in reasons)
    return f"<div class=why>Not measured, because:<ol>{told}</ol></div>" if told else ""


def _groups(run: LoadedRun) -> list[Group]:
    names = [
        Figure("model", "", "its name in models.toml; degraded: more than 1 % faults or cut answers", _name)
    ]
    if has_several_sets(run.lines):
        asked = "what it was asked"
        names.append(
            Figure("problem set", "", asked, lambda line: Cell(html(line.problem_set), line.problem_set))
        )
    return [
        Group("", names),
        Group("right answers, with 95 % intervals", _about_right_answers(run.lines)),
        Group("of all answers", _about_answers()),
        Group("problems", [Figure("judged", "", "problems with a verdict, of those selected", _judged)]),
        Group("one request at a time", _about_speed()),
        Group("all requests together", _about_batch(run)),
        Group("", [_memory(run)]),
    ]


def _about_right_answers(lines: Sequence[Line]) -> list[Figure]:
    told = "pass@1 where a program that needed a repair counts as failed"
    strict = Figure("unrepaired", "", told, _share("pass_at_1_unrepaired"))
    repaired = any(line.figures.pass_at_1_unrepaired != line.figures.pass_at_1 for line in lines)
    return [
        Figure("pass@1", "", "share of samples that pass, mean over problems", _pass_at_1),
        *(Figure(f"pass@{k}", "", f"would one of {k} answers be right?", _pass_at(k)) for k in ks(lines)),
        *([strict] if repaired else []),
    ]


def _about_answers() -> list[Figure]:
    exact = "share of samples that repeat the canonical solution: a sign of memorising, not of quality"
    return [
        Figure("no code", "", "share of samples without a program", _share("no_code")),
        Figure("truncated", "", "failed, and cut short by the length limit", _share("truncated")),
        Figure("exact match", "", exact, _share("exact_match")),
    ]


def _about_speed() -> list[Figure]:
    return [
        Figure("response", "s", "seconds to the last token", _single("response_s", 2)),
        Figure("first token", "s", "seconds to the first token", _single("ttft_s", 3)),
        Figure("output", "tok/s", "tokens per second after the first", _single("output_tok_s", 0)),
    ]


def _about_batch(run: LoadedRun) -> list[Figure]:
    busy = "share of the batch in which devices worked"
    energy = "all devices, idle power included, per 1,000 output tokens"
    return [
        Figure("batch", "tok/s", "all output tokens over the time of the whole batch", _batch),
        Figure("busy", "", busy, _cost(run, costs.utilisation)),
        Figure("energy", "", energy, _cost(run, costs.energy)),
    ]


def _memory(run: LoadedRun) -> Figure:
    return Figure("memory", "", "weights and KV cache apart where the engine tells", _cost(run, costs.memory))


def _cost(run: LoadedRun, of: Callable[[LoadedRun, ModelResult], costs.Cost]) -> Callable[[Line], Cell]:
    def cell(line: Line) -> Cell:
        cost = of(run, line.model)
        return not_measured(cost.why) if cost.shown is None else Cell(html(cost.shown), cost.value)

    return cell


def not_measured(why: str) -> Cell:
    return Cell("<span class=none>not measured</span>", why=why)


def _name(line: Line) -> Cell:
    name = html(line.name).replace("_", "_<wbr>")
    told = line.model.reason.split("\n", 1)[0] or line.model.spec.model
    return Cell(f"<b>{name}</b><small class=status>{html(line.status)}</small>", line.name, told)


def _judged(line: Line) -> Cell:
    told = counted(faults(line), "fault")
    return Cell(f"{judged(line)}<small>{told}</small>", line.figures.judged)


def _pass_at_1(line: Line) -> Cell:
    value, bounds = line.figures.pass_at_1, line.figures.pass_at_1_interval
    if value is None or bounds is None:
        return not_measured(why_not_judged(line))
    return Cell(f"<b>{percent(value)}</b>{_drawn(value, bounds)}<small>{interval(bounds)}</small>", value)


def _drawn(value: float, bounds: tuple[float, float]) -> str:
    """An interval on a scale from 0 to 100 %, with the value as a mark."""
    low, high, at = (f"{100 * share:.1f}" for share in (*bounds, value))
    width = f"{100 * (bounds[1] - bounds[0]):.1f}"
    return (
        f"<svg class=interval viewBox='0 0 100 8' preserveAspectRatio=none role=img aria-label='{low} to {high} %'>"
        f"<rect class=scale width=100 y=3.5 height=1 /><rect class=range x={low} width={width} y=2 height=4 />"
        f"<rect class=value x={at} width=1.2 height=8 /></svg>"
    )


def _pass_at(k: int) -> Callable[[Line], Cell]:
    def cell(line: Line) -> Cell:
        found = line.figures.pass_at_k.get(k)
        if found is None:
            return not_measured(f"a problem has fewer than {k} judged samples")
        return Cell(f"{percent(found.value)}<small>{interval(found.interval)}</small>", found.value)

    return cell


def _share(name: str) -> Callable[[Line], Cell]:
    def cell(line: Line) -> Cell:
        value: Value = getattr(line.figures, name)
        return not_measured(why_not_judged(line)) if value is None else Cell(percent(value), value)

    return cell


def _single(name: str, digits: int) -> Callable[[Line], Cell]:
    def cell(line: Line) -> Cell:
        speed = line.model.summary.single_stream
        value: Value = getattr(speed, name)
        if value is None:
            return not_measured(why_no_probe(line.model))
        return Cell(f"{value:.{digits}f}", value, f"mean of {speed.requests} requests")

    return cell


def _batch(line: Line) -> Cell:
    summary = line.model.summary
    if summary.batch_tok_s is None:
        return not_measured(why_no_batch(line.model))
    told = f"{summary.in_batch.concurrency} requests sent together"
    return Cell(f"{summary.batch_tok_s:.0f}", summary.batch_tok_s, told)


def why_not_judged(line: Line) -> str:
    return "no answer was judged" if line.problem_set else "it was asked no problems, only timed"


def why_no_probe(model: ModelResult) -> str:
    if model.spec.kind == "replay":
        return "the answers came from a file"
    if model.summary.single_stream.requests:
        return "the engine does not tell it"
    return "no request was sent alone (the batch did not finish, or --llmeval-probe is off)"


def why_no_batch(model: ModelResult) -> str:
    if model.spec.kind == "replay":
        return "the answers came from a file"
    return "no undisturbed batch with token counts"


def reasons_html(models: Sequence[ModelResult]) -> str:
    """What readers of a model's figures must know; in full, why it has no, or not all, answers."""
    notes = "".join(
        f"<p class=note><b>{html(m.spec.name)}</b>: {html(note)}</p>" for m in models for note in m.notes
    )
    return notes + "".join(
        f"<details class=reason open><summary>{html(m.spec.name)} is {html(m.status)}</summary>"
        f"<pre>{html(m.reason)}</pre></details>"
        for m in models
        if m.reason
    )
