"""Problem × model: who solves what, hardest first; each cell leads to its item."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_llmeval.items.judged import explain
from pytest_llmeval.report.text import html
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.schema import Outcome, Record, RecordId

Href = Callable[[RecordId], str]

# One letter for each way to fail, so that a cell says more than a colour does.
LETTERS: Mapping[Outcome, str] = {
    Outcome.WRONG_ANSWER: "W",
    Outcome.EXCEPTION: "E",
    Outcome.SYNTAX_ERROR: "S",
    Outcome.NO_CODE: "N",
    Outcome.TRUNCATED: "L",
    Outcome.TIMEOUT: "T",
    Outcome.MEMORY: "M",
    Outcome.OUTPUT_LIMIT: "O",
    Outcome.KILLED: "K",
    Outcome.FORGED: "F",
    Outcome.SANDBOX_ERROR: "!",
}
TOLD_CHARS = 160  # of a failure, in a cell's tooltip


def by_difficulty(run: LoadedRun) -> list[tuple[str, str]]:
    """Problems, those first that the models solve least; equals stay in natural order."""
    return sorted(run.problems, key=lambda problem: _share_solved(run, problem))


def _share_solved(run: LoadedRun, problem: tuple[str, str]) -> float:
    records = [run.records.get(RecordId(model.spec.name, *problem)) for model in run.models]
    shares = [record.correct / record.judged for record in records if record and record.judged]
    return sum(shares) / len(shares) if shares else 2.0  # nobody was judged on it: last


def grid_html(run: LoadedRun, href: Href) -> str:
    """The table; `href` says where an item's story is."""
    models = [model.spec.name for model in run.models]
    head = "".join(f"<th scope=col><span>{html(name)}</span></th>" for name in models)
    body = "".join(_row(run, problem, models, href) for problem in by_difficulty(run))
    return (
        "<p class=legend>✓ solved, with several samples how many of them; else how it failed: "
        + ", ".join(f"<b>{letter}</b> {outcome}" for outcome, letter in LETTERS.items())
        + "; empty: not asked or not answered.</p>"
        "<div class=tools hidden><label>Filter <input type=search id=ll-filter placeholder='problem'></label> "
        "<label><input type=checkbox id=ll-differ> only where models differ</label></div>"
        f"<div class=scroll><table class=grid><thead><tr><th scope=col>problem</th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(run: LoadedRun, problem: tuple[str, str], models: list[str], href: Href) -> str:
    names = [RecordId(model, *problem) for model in models]
    records = [run.records.get(name) for name in names]
    differ = len({record.passes(run.rule) for record in records if record and not record.is_fault}) > 1
    cells = "".join(_cell(run, record, href) for record in records)
    several = len({problem_set for problem_set, _ in run.problems}) > 1
    label = " ".join(problem) if several else problem[1]
    return f"<tr{' class=differ' if differ else ''}><th scope=row>{html(label)}</th>{cells}</tr>"


def _cell(run: LoadedRun, record: Record | None, href: Href) -> str:
    if record is None:
        return "<td></td>"
    told = f"{record.model} {record.task_id}: {explain(record, run.rule)[:TOLD_CHARS]}"
    state = "fault" if record.is_fault else "pass" if record.passes(run.rule) else "fail"
    link = f"href='{html(href(record.record_id))}' title='{html(told)}'"
    return f"<td class={state}><a {link}>{_symbol(record)}</a></td>"


def _symbol(record: Record) -> str:
    if record.n > 1 and record.judged:
        return f"{record.correct}/{record.judged}"
    outcome = record.samples[0].verdict.outcome
    return "✓" if outcome is Outcome.PASSED else LETTERS[outcome]
