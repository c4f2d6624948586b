"""The leaderboard as static HTML: every figure with its unit, an interval drawn, and a reason where none was taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_llmeval.report import costs
from pytest_llmeval.report.leaderboard import interval, percent
from pytest_llmeval.report.text import html
from pytest_llmeval.results import ModelResult
from pytest_llmeval.runs import LoadedRun

Value = float | None


@dataclass(frozen=True)
class Cell:
    """What a cell shows (HTML), what its column is sorted by, and words for whoever points at it."""

    shown: str
    key: float | str | None = None
    told: str = ""

    @property
    def td(self) -> str:
        key = "" if self.key is None else f" data-v='{html(self.key)}'"
        told = f" title='{html(self.told)}'" if self.told else ""
        return f"<td{key}{told}>{self.shown}</td>"


@dataclass(frozen=True)
class Figure:
    """One column: heading, explanation, and the cell of a model."""

    heading: str
    told: str
    cell: Callable[[ModelResult], Cell]


def board_html(run: LoadedRun) -> str:
    figures = _figures(run)
    head = "".join(f"<th scope=col title='{html(f.told)}'>{html(f.heading)}</th>" for f in figures)
    rows = "".join(
        f"<tr class={html(model.status)}>{''.join(figure.cell(model).td for figure in figures)}</tr>"
        for model in run.models
    )
    return (
        "<div class=scroll><table class='board sortable-table'>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _figures(run: LoadedRun) -> list[Figure]:
    ks = sorted({k for model in run.models for k in model.summary.pass_at_k} - {1})
    return [
        Figure(
            "model", "its name in models.toml", lambda m: Cell(html(m.spec.name), m.spec.name, m.spec.model)
        ),
        Figure("status", "complete, incomplete, faulted or unavailable", _status),
        Figure(
            "pass@1", "share of samples that pass, mean over problems, with its 95 % interval", _pass_at_1
        ),
        *(Figure(f"pass@{k}", f"would one of {k} answers be right?", _pass_at(k)) for k in ks),
        Figure("unrepaired", "pass@1 where a program that needed a repair counts as failed", _unrepaired),
        Figure("no code", "share of samples without a program", lambda m: _share(m.summary.no_code, m)),
        Figure(
            "truncated", "failed, and cut short by the length limit", lambda m: _share(m.summary.truncated, m)
        ),
        Figure(
            "exact match",
            "share of samples that repeat the canonical solution: a sign of memorising, not of quality",
            lambda m: _share(m.summary.exact_match, m),
        ),
        Figure(
            "faults",
            "problems that could not be judged",
            lambda m: Cell(str(m.summary.faults), m.summary.faults),
        ),
        Figure("judged", "problems with a verdict, of those selected", _judged),
        Figure("response", "one request at a time: seconds to the last token", _single("response_s", "s", 2)),
        Figure("first token", "one request at a time: seconds to the first token", _single("ttft_s", "s", 3)),
        Figure(
            "output",
            "one request at a time: tokens per second after the first",
            _single("output_tok_s", "tok/s", 0),
        ),
        Figure("batch", "all output tokens over the time of the whole batch", _batch),
        Figure("memory", "weights and KV cache apart where the engine tells", _cost(run, costs.memory)),
        Figure(
            "utilisation", "share of the batch in which the devices were busy", _cost(run, costs.utilisation)
        ),
        Figure("energy", "all devices, idle power included, per output token", _cost(run, costs.energy)),
    ]


def _cost(
    run: LoadedRun, of: Callable[[LoadedRun, ModelResult], costs.Cost]
) -> Callable[[ModelResult], Cell]:
    def cell(model: ModelResult) -> Cell:
        cost = of(run, model)
        return not_measured(cost.why) if cost.shown is None else Cell(html(cost.shown), cost.value)

    return cell


def not_measured(why: str) -> Cell:
    return Cell(f"<span class=none>not measured<small>: {html(why)}</small></span>", told=why)


def _status(model: ModelResult) -> Cell:
    return Cell(f"<b>{html(model.status)}</b>", str(model.status), model.reason.split("\n", 1)[0])


def _pass_at_1(model: ModelResult) -> Cell:
    value, bounds = model.summary.pass_at_1, model.summary.pass_at_1_interval
    if value is None or bounds is None:
        return not_measured(why_not_judged(model))
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


def _pass_at(k: int) -> Callable[[ModelResult], Cell]:
    def cell(model: ModelResult) -> Cell:
        found = model.summary.pass_at_k.get(k)
        if found is None:
            return not_measured(f"a problem has fewer than {k} judged samples")
        return Cell(f"{percent(found.value)}<small> {interval(found.interval)}</small>", found.value)

    return cell


def _unrepaired(model: ModelResult) -> Cell:
    return _share(model.summary.pass_at_1_unrepaired, model)


def _share(value: Value, model: ModelResult) -> Cell:
    return not_measured(why_not_judged(model)) if value is None else Cell(percent(value), value)


def _judged(model: ModelResult) -> Cell:
    return Cell(f"{model.summary.judged} of {model.selected}", model.summary.judged)


def _single(name: str, unit: str, digits: int) -> Callable[[ModelResult], Cell]:
    def cell(model: ModelResult) -> Cell:
        value: Value = getattr(model.summary.single_stream, name)
        if value is None:
            return not_measured(why_no_probe(model))
        return Cell(
            f"{value:.{digits}f} {unit}", value, f"mean of {model.summary.single_stream.requests} requests"
        )

    return cell


def _batch(model: ModelResult) -> Cell:
    value = model.summary.batch_tok_s
    if value is None:
        return not_measured(why_no_batch(model))
    return Cell(f"{value:.0f} tok/s", value, f"{model.summary.in_batch.concurrency} requests sent together")


def why_not_judged(model: ModelResult) -> str:
    return "no answer was judged"


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
