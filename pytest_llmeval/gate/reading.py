"""Read what a run left in its folder, as far as the gate is concerned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.gate.conditions import conditions_of, digest, settings_of
from pytest_llmeval.gate.figures import FAULTED, ModelFigures, RunFigures, Tally, Task
from pytest_llmeval.gate.measures import measures_of
from pytest_llmeval.schema import Outcome, Prompt, Record
from pytest_llmeval.store import MANIFEST, RESULTS, SUMMARY, file_name, located, read_document, read_records


class Seen(NamedTuple):
    """What is kept of a Record: it may hold thousands of answers, and a run thousands of Records."""

    task: Task
    n: int
    tally: Tally
    differs: bool  # between its answers
    reused: bool  # of one answer at least

    @classmethod
    def of(cls, record: Record) -> Seen:
        differs = len({sample.completion.text for sample in record.samples}) > 1
        reused = any(sample.reused_from is not None for sample in record.samples)
        return cls(Task(record.problem_set, record.task_id), record.n, tally_of(record), differs, reused)


def read_run(folder: Path, results: Path | None = None) -> RunFigures:
    """Read what a run left. Without a manifest or a summary beside the Records, speeds are not known.

    Raises:
        ConfigurationError: there are no Records.
        LLMEvalError: a line is not a Record, or another file is damaged.
    """
    results = located(results or folder / RESULTS)
    if not results.is_file():
        raise ConfigurationError(
            f"{folder} is no run: it holds no {RESULTS}. A run is a folder under reports/, e.g. reports/latest"
        )
    seen: dict[str, list[Seen]] = {}
    for record in read_records(results):
        seen.setdefault(record.model, []).append(Seen.of(record))
    manifest, summary = _document(folder / MANIFEST), _document(folder / SUMMARY).get("models", {})
    names = dict.fromkeys([*manifest.get("selected", {}), *summary, *seen])
    models = {
        name: _model(name, folder, seen.get(name, []), manifest, summary.get(name, {})) for name in names
    }
    return RunFigures(manifest.get("run_id", folder.name), manifest.get("started_at", ""), models)


def _document(path: Path) -> dict[str, Any]:
    """One of the run's documents; empty where there is none, as of a run that was killed."""
    document: dict[str, Any] = read_document(path, dict[str, Any]) if path.is_file() else {}
    return document


def _model(
    name: str, folder: Path, seen: Sequence[Seen], manifest: Mapping[str, Any], line: Mapping[str, Any]
) -> ModelFigures:
    spec = manifest.get("models", {}).get(name, {})
    asked = manifest.get("asked", {}).get(name, [])
    # What is replayed was drawn elsewhere: the run's own temperature says nothing of it.
    greedy = greedy_sets(seen, () if spec.get("kind") == "replay" else asked)
    tallies = {
        one.task: as_one(one.tally) if one.task.problem_set in greedy else one.tally
        for one in seen
        if one.tally.n
    }
    selected = manifest.get("selected", {}).get(name, len(seen))
    probe = _document(folder / "engine" / f"{file_name(name)}.probe.json").get("completions", [])
    telemetry = _document(folder / "telemetry" / f"{file_name(name)}.json").get("telemetry", {})
    lost = selected if line.get("status") == FAULTED else len(seen)  # a stopped run is no fault
    return ModelFigures(
        tallies=tallies,
        selected=selected,
        faults=max(0, lost - len(tallies)),
        status=line.get("status", ""),
        reason=line.get("reason", ""),
        measures=measures_of(probe, line.get("figures", {}), telemetry, any(one.reused for one in seen)),
        conditions=conditions_of(manifest, asked, telemetry, tallies, len(probe)),
        settings=settings_of(manifest, spec, asked, manifest.get("engines", {}).get(name, {})),
        drawn={one.task: one.tally for one in seen if one.tally.n} if greedy else {},
        greedy=bool(greedy) and greedy >= {one.task.problem_set for one in seen},
    )


def tally_of(record: Record) -> Tally:
    judged = [s for s in record.samples if not s.verdict.outcome.is_fault]
    outcomes = [sample.verdict.outcome for sample in judged]
    tokens = [t for s in judged if (t := s.completion.completion_tokens) is not None]
    return Tally(
        n=len(judged),
        passed=outcomes.count(Outcome.PASSED),
        no_code=outcomes.count(Outcome.NO_CODE),
        truncated=outcomes.count(Outcome.TRUNCATED),
        tokens=round(fmean(tokens), 3) if tokens else None,
        prompt=digest(_asked(record.prompt)),
    )


def greedy_sets(seen: Iterable[Seen], asked: Iterable[Mapping[str, Any]]) -> set[str]:
    """Problem sets whose problems were answered greedily, by the manifest or, without one, by the look of it."""
    rows = {(row["problem_set"], row["sampling"]["temperature"] == 0) for row in asked}
    if rows:
        return {name for name, _ in rows} - {name for name, greedy in rows if not greedy}
    every = list(seen)
    differing = {one.task.problem_set for one in every if one.differs}
    return {one.task.problem_set for one in every if one.n > 1} - differing


def as_one(tally: Tally) -> Tally:
    """Greedy answers to a problem repeat one another: together they are one sample, what most of them are."""
    return tally._replace(
        n=1,
        passed=int(2 * tally.passed > tally.n),
        no_code=int(2 * tally.no_code > tally.n),
        truncated=int(2 * tally.truncated > tally.n),
    )


def _asked(prompt: Prompt) -> str:
    prefill = (
        [prompt.assistant_prefill] if prompt.assistant_prefill else []
    )  # without one, as baselines have it
    return json.dumps([prompt.style, prompt.text, prompt.system, dict(prompt.chat_template_kwargs), *prefill])
