"""What a run is judged against: an earlier run, or the compact file made of one and its calibration runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.gate.conditions import differences
from pytest_llmeval.gate.figures import ModelFigures, RunFigures, Tally, Task
from pytest_llmeval.gate.reading import read_run
from pytest_llmeval.schema.tasks import natural_order
from pytest_llmeval.store import RESULTS
from pytest_llmeval.store.packed import SUFFIX

KIND = "pytest-llmeval baseline"
SCHEMA_VERSION = 1
GIVE = f"give a run's folder, its {RESULTS}, or a file made by python -m pytest_llmeval baseline RUN -o FILE"


@dataclass(frozen=True)
class Baseline:
    """`runs[0]` is what passes are compared with; all of them together say how speeds vary from run to run.

    Only the first one's tallies are used: runs that repeat greedy answers are no new samples.
    """

    source: str
    runs: Sequence[RunFigures]

    @property
    def first(self) -> RunFigures:
        return self.runs[0]

    def figures(self, model: str) -> ModelFigures | None:
        return self.first.models.get(model)

    def measured(self, model: str, measure: str) -> list[float]:
        """The figure of every run that has it."""
        every = (run.models.get(model) for run in self.runs)
        return [figures.measures[measure] for figures in every if figures and measure in figures.measures]

    def describe(self) -> str:
        """`run 20261124_082455 of 2026-11-24, 5 runs in all, from baseline.json`."""
        day = f" of {self.first.started_at[:10]}" if self.first.started_at else ""
        more = f", {len(self.runs)} runs in all" if len(self.runs) > 1 else ""
        return f"run {self.first.run_id}{day}{more}, from {self.source}"


def load_baseline(path: Path) -> Baseline:
    """A run's folder, a results.jsonl, or a file that `python -m pytest_llmeval baseline` wrote.

    Raises:
        ConfigurationError: it is none of them, and what it is instead; or nothing can be judged against it.
    """
    baseline = _read(path)
    if not baseline.first.models:
        raise ConfigurationError(f"the baseline {path} holds no model: there is nothing to judge against")
    return baseline


def _read(path: Path) -> Baseline:
    if path.is_dir():
        return Baseline(str(path), [read_run(path)])
    if not path.exists():
        raise ConfigurationError(f"the baseline {path} does not exist: {GIVE}")
    if path.suffix == ".jsonl" or path.name.endswith(f".jsonl{SUFFIX}"):
        return Baseline(str(path), [read_run(path.parent, path)])
    return _from_document(path)


def join(runs: Sequence[RunFigures], source: str) -> Baseline:
    """A baseline of one run and the calibration runs that repeat it.

    Raises:
        ConfigurationError: a run was made under other conditions, so it says nothing on how speeds vary.
    """
    first = runs[0]
    for run in runs[1:]:
        for name, figures in first.models.items():
            if name not in run.models:
                raise ConfigurationError(f"calibration run {run.run_id} lacks the model {name}")
            found = differences(figures.conditions, run.models[name].conditions)
            found += differences(figures.settings, run.models[name].settings)
            if found:
                raise ConfigurationError(
                    f"calibration run {run.run_id} does not repeat {first.run_id}: {name}: {'; '.join(found)}"
                )
    return Baseline(source, runs)


# ---------------------------------------------------------------------------------------- the compact file


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write the compact file: one line per problem, so that a diff shows what changed."""
    text = json.dumps(to_document(baseline), indent=1, allow_nan=False)
    # Lists of plain values on one line; a JSON string holds no raw line break, so no string is touched.
    text = re.sub(r"\[\n[^\[\]{}]*?\n\s*\]", lambda found: re.sub(r"\n\s*", " ", found[0]), text)
    try:
        path.write_text(f"{text}\n", encoding="ascii")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error


def to_document(baseline: Baseline) -> dict[str, Any]:
    return {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "runs": [
            {
                "run_id": run.run_id,
                "started_at": run.started_at,
                "models": {name: _model_document(figures) for name, figures in run.models.items()},
            }
            for run in baseline.runs
        ],
        "columns": list(Tally._fields),
        "problems": {name: _tallies_document(f) for name, f in baseline.first.models.items()},
    }


def _model_document(figures: ModelFigures) -> dict[str, Any]:
    """Without tallies: those that are compared stand apart, and what was drawn besides is of its own run alone."""
    document = asdict(replace(figures, tallies={}, drawn={}))
    return {key: value for key, value in document.items() if key not in ("tallies", "drawn")}


def _tallies_document(figures: ModelFigures) -> dict[str, dict[str, list[Any]]]:
    document: dict[str, dict[str, list[Any]]] = {}
    for task in sorted(figures.tallies, key=natural_order):
        document.setdefault(task.problem_set, {})[task.task_id] = list(figures.tallies[task])
    return document


def _from_document(path: Path) -> Baseline:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the baseline {path} cannot be read ({error}): {GIVE}") from error
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind != KIND or document.get("schema_version") != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} is no baseline of this version (kind {kind!r}, schema_version "
            f"{document.get('schema_version') if kind else None!r}): make it again with "
            f"python -m pytest_llmeval baseline RUN -o {path}"
        )
    try:
        return Baseline(
            str(path), [_run(run, document, not index) for index, run in enumerate(document["runs"])]
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ConfigurationError(
            f"the baseline {path} is damaged ({type(error).__name__}: {error}): make it again"
        ) from error


def _run(run: Mapping[str, Any], document: Mapping[str, Any], is_first: bool) -> RunFigures:
    models = {}
    for name, model in run["models"].items():
        rows = document["problems"][name] if is_first else {}
        tallies = {
            Task(problem_set, task_id): Tally(*row)
            for problem_set, tasks in rows.items()
            for task_id, row in tasks.items()
        }
        models[name] = ModelFigures(tallies=tallies, **model)
    return RunFigures(run["run_id"], run["started_at"], models)
