"""Runs side by side: what changed in each model's figures, on which problems, and what was set differently."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.gate.figures import Tallies, Task
from pytest_llmeval.gate.paired import Pair, interval, mean_difference, permutation
from pytest_llmeval.gate.reading import read_run
from pytest_llmeval.report import costs
from pytest_llmeval.report.files import write
from pytest_llmeval.report.leaderboard import interval as written
from pytest_llmeval.report.leaderboard import judged, named, number, percent
from pytest_llmeval.report.links import Links, item_path
from pytest_llmeval.report.page import own_page
from pytest_llmeval.report.text import html, table_html
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.runs.results import Line
from pytest_llmeval.schema import RecordId

PAGE = "comparison.html"
# Parts of a manifest that differ between any two runs and explain nothing.
OF_NO_INTEREST = ("run_id", "started_at", "ended_at", "states", "engines_fared", "selected", "keys", "reused",
    "shard", "planned", "merged",
)  # fmt: skip


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
    write(given.to, comparison(list(map(load_run, given.runs)), given.to.parent))
    sys.stdout.write(f"{given.to}\n")
    return 0


def comparison(runs: Sequence[LoadedRun], beside: Path) -> str:
    """The whole page; models are matched by name, and problems that both runs judged by their ids.

    Raises:
        ConfigurationError: no model is in all runs.
    """
    shared = [line for line in runs[0].lines if all(_same(run, line) for run in runs[1:])]
    if not shared:
        raise ConfigurationError(f"no model is in all of {', '.join(str(run.folder) for run in runs)}")
    told = [_Told(run, _tallies(run)) for run in runs]
    sections = "".join(_section(told, line, beside) for line in shared)
    title = " against ".join(run.run_id for run in reversed(runs))
    return own_page(title, f"{sections}<h2>Set differently</h2>{_settings(runs)}")


class _Told(NamedTuple):
    """A run, and its tallies by model as the gate takes them: answers at temperature 0 are one, however many."""

    run: LoadedRun
    tallies: Mapping[str, Tallies]


def _tallies(run: LoadedRun) -> dict[str, Tallies]:
    return {name: figures.tallies for name, figures in read_run(run.folder).models.items()}


def _same(run: LoadedRun, wanted: Line) -> Line | None:
    """The same model on the same problem set in another run."""
    names = wanted.name, wanted.problem_set
    return next((line for line in run.lines if (line.name, line.problem_set) == names), None)


def _section(told: Sequence[_Told], first: Line, beside: Path) -> str:
    standard, *others = told
    found = [(run, line) for run, _ in told if (line := _same(run, first))]
    headings = ["run", *(heading for heading, _ in _figures(standard.run, first))]
    rows = [[run.run_id, *(value for _, value in _figures(run, line))] for run, line in found]
    changes = "".join(_changes(standard, other, first, beside) for other in others)
    return f"<h2>{html(named(first, standard.run.lines))}</h2>{table_html([headings, *rows])}{changes}"


def _figures(run: LoadedRun, line: Line) -> list[tuple[str, str]]:
    figures, speeds = line.figures, line.model.summary
    return [
        ("status", str(line.status)),
        ("pass@1", f"{percent(figures.pass_at_1)} ({written(figures.pass_at_1_interval)})"),
        ("no code", percent(figures.no_code)),
        ("truncated", percent(figures.truncated)),
        ("judged", judged(line)),
        ("response", number(speeds.single_stream.response_s, "s", 2)),
        ("first token", number(speeds.single_stream.ttft_s, "s", 3)),
        ("output", number(speeds.single_stream.output_tok_s, "tok/s", 0)),
        ("batch", number(speeds.batch_tok_s, "tok/s", 0)),
        ("memory", costs.memory(run, line.model).shown or "not measured"),
    ]


def _changes(before: _Told, after: _Told, line: Line, beside: Path) -> str:
    old, new = before.run, after.run
    pairs = dict(_pairs(before, after, line))
    if not pairs:
        return f"<p>{html(new.run_id)}: no problem was judged in both runs.</p>"
    lost = [name for name, pair in pairs.items() if pair.difference < 0]
    won = [name for name, pair in pairs.items() if pair.difference > 0]
    return (
        f"<p class=headline>{html(_verdict(new.run_id, list(pairs.values()), len(won), len(lost)))}</p>"
        f"{_problems('Lost', lost, old, new, beside)}{_problems('Won', won, old, new, beside)}"
    )


def _pairs(before: _Told, after: _Told, line: Line) -> Iterator[tuple[RecordId, Pair]]:
    old, new = (told.tallies.get(line.name, {}) for told in (before, after))
    for problem in before.run.problems:
        task = Task(*problem)
        if task.problem_set == line.problem_set and task in old and task in new:
            then, now = old[task], new[task]
            yield RecordId(line.name, *problem), Pair(then.n, then.passed, now.n, now.passed)


def _verdict(run: str, pairs: Sequence[Pair], won: int, lost: int) -> str:
    """The difference of pass@1 with its interval, and how likely it is where nothing changed."""
    low, high = interval(pairs, confidence=0.975)  # of each bound: 95 % of the two
    tails = permutation(pairs)
    p = min(1.0, 2 * min(tails.worse, tails.better))
    return (
        f"{run}: pass@1 differs by {100 * mean_difference(pairs):+.1f} points (95 % interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}) on these {len(pairs)} problems; {won} won, {lost} lost, p = {p:.2g}"
    )


def _problems(title: str, problems: Sequence[RecordId], old: LoadedRun, new: LoadedRun, beside: Path) -> str:
    """Which problems, each with its two stories."""
    if not problems:
        return ""
    rows = "".join(f"<li>{_both(old, new, name, beside)}</li>" for name in problems)
    state = " open" if title == "Lost" else ""
    return f"<details{state}><summary>{title}: {len(problems)}</summary><ul>{rows}</ul></details>"


def _both(old: LoadedRun, new: LoadedRun, name: RecordId, beside: Path) -> str:
    before, after = _story(old, name, "before", beside), _story(new, name, "after", beside)
    return f"{html(name.task_id)}: {before}, {after}"


def _story(run: LoadedRun, name: RecordId, words: str, beside: Path) -> str:
    record = run.records[name]
    # What was planned decided how the run's page was made; of a run that was stopped nobody counts that any more.
    embedded = not item_path(run.folder, name).is_file()
    links = Links(run.folder.resolve(), beside.resolve(), embedded)
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
