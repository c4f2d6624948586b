"""Runs side by side: what changed in each model's figures, on which problems, and what was set differently."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.gate.paired import Pair, interval, mean_difference, permutation
from pytest_llmeval.report import costs
from pytest_llmeval.report.leaderboard import interval as written
from pytest_llmeval.report.leaderboard import number, percent
from pytest_llmeval.report.links import Links
from pytest_llmeval.report.page import own_page
from pytest_llmeval.report.text import html
from pytest_llmeval.results import ModelResult
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.schema import RecordId

PAGE = "comparison.html"
# Parts of a manifest that differ between any two runs and explain nothing.
OF_NO_INTEREST = ("run_id", "started_at", "ended_at", "states", "engines_fared", "selected", "keys", "reused")


def command(arguments: Sequence[str]) -> int:
    """`python -m pytest_llmeval compare RUN RUN [RUN ...]`."""
    parser = argparse.ArgumentParser(prog="python -m pytest_llmeval compare", description=__doc__)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folders of runs; the first is the standard"
    )
    parser.add_argument("--to", type=Path, default=Path(PAGE), metavar="FILE", help=f"default: {PAGE}")
    given = parser.parse_args(arguments)
    if len(given.runs) < 2:
        raise ConfigurationError(
            "compare needs two runs or more, e.g. reports/20260101_120000 reports/latest"
        )
    given.to.write_text(comparison(list(map(load_run, given.runs)), given.to.parent), encoding="utf-8")
    sys.stdout.write(f"{given.to}\n")
    return 0


def comparison(runs: Sequence[LoadedRun], beside: Path) -> str:
    """The whole page; models are matched by name, and problems that both runs judged by their ids.

    Raises:
        ConfigurationError: no model is in all runs.
    """
    shared = [m.spec.name for m in runs[0].models if all(_line(run, m.spec.name) for run in runs[1:])]
    if not shared:
        raise ConfigurationError(f"no model is in all of {', '.join(str(run.folder) for run in runs)}")
    sections = "".join(_model(runs, name, beside) for name in shared)
    title = f"{' against '.join(run.run_id for run in reversed(runs))}"
    return own_page(title, f"{sections}<h2>Set differently</h2>{_settings(runs)}")


def _line(run: LoadedRun, name: str) -> ModelResult | None:
    return next((model for model in run.models if model.spec.name == name), None)


def _model(runs: Sequence[LoadedRun], name: str, beside: Path) -> str:
    head = "".join(
        f"<th scope=col>{html(heading)}</th>" for heading, _ in _figures(runs[0], runs[0].models[0])
    )
    rows = "".join(_row(run, line) for run in runs if (line := _line(run, name)))
    changes = "".join(_changes(runs[0], run, name, beside) for run in runs[1:])
    return (
        f"<h2>{html(name)}</h2><div class=scroll><table class=board><thead><tr><th scope=col>run</th>{head}</tr>"
        f"</thead><tbody>{rows}</tbody></table></div>{changes}"
    )


def _row(run: LoadedRun, line: ModelResult) -> str:
    cells = "".join(f"<td>{html(value)}</td>" for _, value in _figures(run, line))
    return f"<tr><th scope=row>{html(run.run_id)}</th>{cells}</tr>"


def _figures(run: LoadedRun, line: ModelResult) -> list[tuple[str, str]]:
    figures = line.summary
    return [
        ("status", str(line.status)),
        ("pass@1", f"{percent(figures.pass_at_1)} ({written(figures.pass_at_1_interval)})"),
        ("no code", percent(figures.no_code)),
        ("truncated", percent(figures.truncated)),
        ("judged", f"{figures.judged} of {line.selected}"),
        ("response", number(figures.single_stream.response_s, "s", 2)),
        ("first token", number(figures.single_stream.ttft_s, "s", 3)),
        ("output", number(figures.single_stream.output_tok_s, "tok/s", 0)),
        ("batch", number(figures.batch_tok_s, "tok/s", 0)),
        ("memory", costs.memory(run, line).shown or "not measured"),
    ]


def _changes(old: LoadedRun, new: LoadedRun, model: str, beside: Path) -> str:
    pairs = dict(_pairs(old, new, model))
    if not pairs:
        return f"<p>{html(new.run_id)}: no problem was judged in both runs.</p>"
    lost = [problem for problem, pair in pairs.items() if pair.difference < 0]
    won = [problem for problem, pair in pairs.items() if pair.difference > 0]
    return (
        f"<p class=headline>{html(_verdict(new.run_id, list(pairs.values()), len(won), len(lost)))}</p>"
        f"{_problems('Lost', lost, old, new, model, beside)}{_problems('Won', won, old, new, model, beside)}"
    )


def _pairs(old: LoadedRun, new: LoadedRun, model: str) -> Iterator[tuple[tuple[str, str], Pair]]:
    for problem in old.problems:
        before, after = (run.records.get(RecordId(model, *problem)) for run in (old, new))
        if before and after and before.judged and after.judged:
            yield problem, Pair(before.judged, before.correct, after.judged, after.correct)


def _verdict(run: str, pairs: Sequence[Pair], won: int, lost: int) -> str:
    """The difference of pass@1 with its interval, and how likely it is where nothing changed."""
    low, high = interval(pairs)
    tails = permutation(pairs)
    p = min(1.0, 2 * min(tails.worse, tails.better))
    return (
        f"{run}: pass@1 differs by {100 * mean_difference(pairs):+.1f} points (95 % interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}) on these {len(pairs)} problems; {won} won, {lost} lost, p = {p:.2g}"
    )


def _problems(
    title: str, problems: Sequence[tuple[str, str]], old: LoadedRun, new: LoadedRun, model: str, beside: Path
) -> str:
    """Which problems, each with its two stories."""
    if not problems:
        return ""
    rows = "".join(f"<li>{_both(old, new, RecordId(model, *problem), beside)}</li>" for problem in problems)
    state = " open" if title == "Lost" else ""
    return f"<details{state}><summary>{title}: {len(problems)}</summary><ul>{rows}</ul></details>"


def _both(old: LoadedRun, new: LoadedRun, name: RecordId, beside: Path) -> str:
    before, after = _story(old, name, "before", beside), _story(new, name, "after", beside)
    return f"{html(name.task_id)}: {before}, {after}"


def _story(run: LoadedRun, name: RecordId, words: str, beside: Path) -> str:
    record = run.records[name]
    links = Links.for_samples(run.samples, run.folder, beside)
    page = links.to(run.folder / "report.html") if links.embedded else ""
    return f"<a href='{html(page + links.item(name))}'>{words} {record.correct} of {record.judged}</a>"


def _settings(runs: Sequence[LoadedRun]) -> str:
    flat = [dict(_flat({k: v for k, v in run.manifest.items() if k not in OF_NO_INTEREST})) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    differing = [key for key in keys if len({one.get(key, "") for one in flat}) > 1]
    if not differing:
        return "<p>Nothing that the manifests tell.</p>"
    head = "".join(f"<th scope=col>{html(run.run_id)}</th>" for run in runs)
    rows = "".join(
        f"<tr><th scope=row>{html(key)}</th>"
        + "".join(f"<td>{html(one.get(key, ''))}</td>" for one in flat)
        + "</tr>"
        for key in differing
    )
    table = f"<table class=grid><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div class=scroll>{table}</div>"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of a manifest by their path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, str(value)
