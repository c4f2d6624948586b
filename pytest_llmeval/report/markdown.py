"""report.md: the session report that people paste into a ticket.

Every sentence is made from a number of this run, by a rule that stands beside it; where there is no number
there is no sentence. Names and words of engines stand in code spans, so that nothing in them takes effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pytest_llmeval.report import costs, lengths
from pytest_llmeval.report.advice import limitations, recommendations
from pytest_llmeval.report.headline import headline
from pytest_llmeval.report.leaderboard import conditions, interval, number, percent
from pytest_llmeval.report.text import code, fenced, table_markdown
from pytest_llmeval.results import ModelResult
from pytest_llmeval.runs import LoadedRun


def session_report(run: LoadedRun) -> str:
    """The whole document."""
    parts = [
        _title(run),
        f"## Summary\n\n{coded(run, headline(run))}",
        f"## Model performance\n\n{performance_table(run)}\n\n{conditions(run.models, run.rule)}.",
        "## Model by model\n\n" + "\n\n".join(_analysis(run, model) for model in run.models),
        *_long_prompts(run),
        f"## Infrastructure\n\n{_infrastructure(run)}",
        f"## Limitations found in this run\n\n{_list(limitations(run))}",
        f"## Recommendations\n\n{_list(recommendations(run))}",
        "---\n\n*Made from the Records of this run by pytest-llmeval-bench; how each figure is defined stands in "
        "docs/metrics.md.*",
    ]
    return "\n\n".join(parts) + "\n"


def _long_prompts(run: LoadedRun) -> list[str]:
    headings, *rows = lengths.table(run.models) or [()]
    named = [(code(row[0]), *row[1:]) for row in rows]
    return [f"## {lengths.TITLE}\n\n{table_markdown([headings, *named])}"] if named else []


def _title(run: LoadedRun) -> str:
    complete = sum(model.status == "complete" for model in run.models)
    lines = [
        f"**Session:** {code(run.run_id)}",
        f"**Date:** {run.started_at:%Y-%m-%d %H:%M}",
        *([f"**Duration:** {run.seconds / 60:.1f} min"] if run.seconds is not None else []),
        f"**Models complete:** {complete} of {len(run.models)}",
        f"**Problems:** {len(run.problems)}, **samples:** {run.samples}",
    ]
    return "# Model evaluation\n\n" + "  \n".join(lines)


def coded(run: LoadedRun, sentence: str) -> str:
    """Model names in a sentence of ours as code: an underscore in them is no emphasis."""
    for name in sorted((model.spec.name for model in run.models), key=len, reverse=True):
        sentence = sentence.replace(f" {name} ", f" {code(name)} ").replace(f" {name}.", f" {code(name)}.")
        if sentence.startswith(f"{name} "):
            sentence = code(name) + sentence[len(name) :]
    return sentence


def performance_table(run: LoadedRun) -> str:
    """The leaderboard as a Markdown table, also for a CI job's summary."""
    columns = _columns(run)
    rows = [[cell(model) for _, cell in columns] for model in run.models]
    return table_markdown([[heading for heading, _ in columns], *rows])


def _columns(run: LoadedRun) -> Sequence[tuple[str, Callable[[ModelResult], str]]]:
    ks = sorted({k for model in run.models for k in model.summary.pass_at_k} - {1})
    return [
        ("model", lambda m: code(m.spec.name)),
        ("status", lambda m: str(m.status)),
        ("pass@1 (95 %)", _pass_at_1),
        *((f"pass@{k}", _pass_at(k)) for k in ks),
        ("no code", lambda m: percent(m.summary.no_code)),
        ("truncated", lambda m: percent(m.summary.truncated)),
        ("faults", lambda m: str(m.summary.faults)),
        ("judged", lambda m: f"{m.summary.judged} of {m.selected}"),
        ("response", lambda m: number(m.summary.single_stream.response_s, "s", 2)),
        ("first token", lambda m: number(m.summary.single_stream.ttft_s, "s", 3)),
        ("output speed", lambda m: number(m.summary.single_stream.output_tok_s, "tok/s", 0)),
        ("batch", lambda m: number(m.summary.batch_tok_s, "tok/s", 0)),
        ("memory", lambda m: costs.memory(run, m).shown or "not measured"),
        ("utilisation", lambda m: costs.utilisation(run, m).shown or "not measured"),
        ("energy", lambda m: costs.energy(run, m).shown or "not measured"),
    ]


def _pass_at_1(model: ModelResult) -> str:
    bounds = interval(model.summary.pass_at_1_interval)
    return f"{percent(model.summary.pass_at_1)} ({bounds})" if bounds else percent(None)


def _pass_at(k: int) -> Callable[[ModelResult], str]:
    def cell(model: ModelResult) -> str:
        found = model.summary.pass_at_k.get(k)
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
    if figures.pass_at_1 is not None:
        unrepaired = f"; {percent(figures.pass_at_1_unrepaired)} without repaired programs"
        yield (
            "Quality",
            f"pass@1 {_pass_at_1(model)}{unrepaired}; {figures.solved} of {figures.judged} items pass",
        )
        yield (
            "Outcomes",
            ", ".join(f"{count} {outcome}" for outcome, count in sorted(figures.outcomes.items())),
        )
        yield "Exact match with the canonical solution", percent(figures.exact_match)
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


def _infrastructure(run: LoadedRun) -> str:
    manifest = run.manifest
    machine, sandbox = manifest.get("machine") or {}, manifest.get("sandbox") or {}
    gpus = machine.get("gpus") or []
    said = [f"Devices: {', '.join(map(code, gpus))}" if gpus else "No GPU was used."]
    if machine.get("system"):
        said.append(f"Machine: {code(machine['system'])}, {machine.get('cores')} cores")
    versions = ", ".join(f"{name} {version}" for name, version in (manifest.get("versions") or {}).items())
    said += [f"Versions: {code(versions)}"] if versions else []
    said += [f"Sandbox: level {code(sandbox['level'])}"] if sandbox.get("level") else []
    for model in run.models:
        if model.info.load_s is not None:
            facts = "; ".join(f"{key}: {value}" for key, value in model.info.facts.items())
            said.append(f"{code(model.spec.name)} loaded in {model.info.load_s:.1f} s ({code(facts)})")
    return _list(said)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) if lines else "None."
