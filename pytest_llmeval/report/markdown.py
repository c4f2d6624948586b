"""report.md: the session report that people paste into a ticket.

Every sentence is made from a number of this run, by a rule that stands beside it; where there is no number
there is no sentence. Names and words of engines stand in code spans, so that nothing in them takes effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pytest_llmeval.metrics.summary import SetFigures
from pytest_llmeval.report import costs, lengths
from pytest_llmeval.report.advice import limitations, recommendations
from pytest_llmeval.report.columns import without_empty
from pytest_llmeval.report.headline import headline
from pytest_llmeval.report.leaderboard import (
    conditions,
    faults,
    has_several_sets,
    interval,
    judged,
    ks,
    number,
    percent,
)
from pytest_llmeval.report.speed import sections
from pytest_llmeval.report.text import code, fenced, table_markdown
from pytest_llmeval.report.verdict import verdict_markdown, verdict_summary
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import Line, ModelResult


def session_report(run: LoadedRun) -> str:
    """The whole document."""
    parts = [
        _title(run),
        f"## Summary\n\n{headline(run, code)}",
        *verdict_summary(run),
        f"## Model performance\n\n{performance_table(run)}",
        *(f"{told}." for told in [conditions(run.models, run.rule)] if told),
        *filter(None, [verdict_markdown(run)]),
        "## Model by model\n\n" + "\n\n".join(_analysis(run, model) for model in run.models),
        *_long_prompts(run),
        *_speed(run),
        f"## Infrastructure\n\n{_infrastructure(run)}",
        f"## Limitations found in this run\n\n{_list(limitations(run))}",
        f"## Recommendations\n\n{_list(recommendations(run))}",
        "---\n\n*Made from the Records of this run by pytest-llmeval-bench; how each figure is defined stands in "
        "docs/metrics.md.*",
    ]
    return "\n\n".join(parts) + "\n"


def _long_prompts(run: LoadedRun) -> list[str]:
    headings, *rows = lengths.table(run.lines) or [()]
    named = [(code(row[0]), *row[1:]) for row in rows]
    return [f"## {lengths.TITLE}\n\n{table_markdown([headings, *named])}"] if named else []


def _speed(run: LoadedRun) -> list[str]:
    """The reference table, and what the serving suites measured; nothing where nothing was watched."""
    found = []
    for section in sections(run):
        parts = [f"## {section.title.capitalize()}"]
        if section.rows:
            headings, *rows = section.rows
            parts.append(table_markdown([headings, *((code(row[0]), *row[1:]) for row in rows)]))
        if section.notes:
            parts.append(_list([code(note) for note in section.notes]))
        found.append("\n\n".join(parts))
    return found


def _title(run: LoadedRun) -> str:
    whole = sum(model.status.is_whole for model in run.models)
    lines = [
        f"**Session:** {code(run.run_id)}",
        f"**Date:** {run.started_at:%Y-%m-%d %H:%M}",
        *([f"**Duration:** {run.seconds / 60:.1f} min"] if run.seconds is not None else []),
        f"**Models evaluated in full:** {whole} of {len(run.models)}",
        f"**Problems:** {len(run.problems)}, **samples:** {run.samples}",
    ]
    return "# Model evaluation\n\n" + "  \n".join(lines)


def performance_table(run: LoadedRun) -> str:
    """The leaderboard as a Markdown table, also for a CI job's summary; columns without a figure are a line below."""
    columns = _columns(run)
    rows = [[cell(line) for _, cell in columns] for line in run.lines]
    kept, empty = without_empty([[heading for heading, _ in columns], *rows])
    return "\n\n".join([table_markdown(kept), *empty])


def _columns(run: LoadedRun) -> Sequence[tuple[str, Callable[[Line], str]]]:
    sets = [("problem set", lambda line: code(line.problem_set) if line.problem_set else "")]
    return [
        ("model", lambda line: code(line.name)),
        *(sets if has_several_sets(run.lines) else []),
        ("status", lambda line: str(line.status)),
        ("pass@1 (95 %)", lambda line: _pass_at_1(line.figures)),
        *((f"pass@{k}", _pass_at(k)) for k in ks(run.lines)),
        ("no code", lambda line: percent(line.figures.no_code)),
        ("truncated", lambda line: percent(line.figures.truncated)),
        ("faults", lambda line: str(faults(line))),
        ("judged", judged),
        ("response", lambda line: number(line.model.summary.single_stream.response_s, "s", 2)),
        ("first token", lambda line: number(line.model.summary.single_stream.ttft_s, "s", 3)),
        ("output speed", lambda line: number(line.model.summary.single_stream.output_tok_s, "tok/s", 0)),
        ("batch", lambda line: number(line.model.summary.batch_tok_s, "tok/s", 0)),
        ("memory", lambda line: costs.memory(run, line.model).shown or "not measured"),
        ("utilisation", lambda line: costs.utilisation(run, line.model).shown or "not measured"),
        ("energy", lambda line: costs.energy(run, line.model).shown or "not measured"),
    ]


def _pass_at_1(figures: SetFigures) -> str:
    bounds = interval(figures.pass_at_1_interval)
    return f"{percent(figures.pass_at_1)} ({bounds})" if bounds else percent(None)


def _pass_at(k: int) -> Callable[[Line], str]:
    def cell(line: Line) -> str:
        found = line.figures.pass_at_k.get(k)
        return percent(found.value if found else None)

    return cell


def _analysis(run: LoadedRun, model: ModelResult) -> str:
    lines = [f"- {label}: {text}" for label, text in _facts(run, model) if text]
    reason = f"\n\n{fenced(model.reason)}" if model.reason else ""
    return f"### {code(model.spec.name)}\n\n" + "\n".join(lines) + reason


def _facts(run: LoadedRun, model: ModelResult) -> Iterator[tuple[str, str]]:
    spec, figures = model.spec, model.summary
    revision = f", revision {code(spec.revision)}" if spec.revision else ""
    yield "Model", f"{code(spec.model)}{revision}, engine {code(spec.kind)}, asked as {spec.prompt_style}"
    settings = ", ".join(code(f"{key} = {value}") for key, value in spec.engine.items())
    yield "Configuration", settings
    for problem_set, answers in model.problem_sets.items():
        where = f" on {code(problem_set)}" if len(model.problem_sets) > 1 else ""
        yield from _about_answers(where, answers)
    speed = figures.single_stream
    if speed.response_s is not None:
        yield (
            "Single stream",
            f"{speed.response_s:.2f} s a response, over {speed.requests} requests"
            + (f", {speed.output_tok_s:.0f} tok/s" if speed.output_tok_s else ""),
        )
    if figures.batch_tok_s is not None:
        yield (
            "Batch",
            f"{figures.batch_tok_s:.0f} tok/s over {figures.in_batch.concurrency} requests together",
        )
    for label, cost in (
        ("Memory", costs.memory),
        ("Utilisation", costs.utilisation),
        ("Energy", costs.energy),
    ):
        yield label, cost(run, model).shown or ""
    yield "To be known", "; ".join(code(note) for note in model.notes)


def _about_answers(where: str, figures: SetFigures) -> Iterator[tuple[str, str]]:
    if figures.pass_at_1 is None:
        return
    unrepaired = f"; {percent(figures.pass_at_1_unrepaired)} without repaired programs"
    solved = f"{figures.solved} of {figures.judged} items pass"
    yield f"Quality{where}", f"pass@1 {_pass_at_1(figures)}{unrepaired}; {solved}"
    counts = (f"{count} {outcome}" for outcome, count in sorted(figures.outcomes.items()))
    yield f"Outcomes{where}", ", ".join(counts)
    yield f"Exact match with the canonical solution{where}", percent(figures.exact_match)


def _infrastructure(run: LoadedRun) -> str:
    manifest = run.manifest
    machine, sandbox = manifest.get("machine") or {}, manifest.get("sandbox") or {}
    gpus = machine.get("gpus") or []
    said = [f"Devices: {', '.join(map(code, gpus))}{_driver(run)}" if gpus else "No GPU was used."]
    if machine.get("system"):
        said.append(f"Machine: {code(machine['system'])}, {machine.get('cores')} cores")
    versions = ", ".join(f"{name} {version}" for name, version in (manifest.get("versions") or {}).items())
    said += [f"Versions: {code(versions)}"] if versions else []
    said += [f"Sandbox: level {code(sandbox['level'])}"] if sandbox.get("level") else []
    said += _side_by_side(manifest.get("side_by_side") or {})
    for model in run.models:
        if model.info.load_s is not None:
            facts = "; ".join(f"{key}: {value}" for key, value in model.info.facts.items())
            said.append(f"{code(model.spec.name)} loaded in {model.info.load_s:.1f} s ({code(facts)})")
    return _list(said)


def _driver(run: LoadedRun) -> str:
    drivers = sorted({seen.driver for seen in run.telemetry.values() if seen.driver})
    return f"; driver {code(' and '.join(drivers))}" if drivers else ""


def _side_by_side(told: Mapping[str, Any]) -> list[str]:
    """Which model had which devices or cores, and which others ran meanwhile."""
    seats = [
        f"{code(name)} on {' and '.join(seat['places'])}"
        + (f", beside {', '.join(map(code, seat['beside']))}" if seat["beside"] else "")
        for name, seat in (told.get("models") or {}).items()
    ]
    return [f"Side by side: {'; '.join(seats)}"] if seats else []


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) if lines else "None."
