"""What each run leaves besides its Records, kept apart; and what reports look for, where it is one run's alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pytest_llmeval.merging.sources import Source, models_of, that_tried, unlike_conditions
from pytest_llmeval.runs.loading import Probe
from pytest_llmeval.schema import Completion
from pytest_llmeval.store import MANIFEST, RUNS, SUMMARY, document, file_name, read_document

FOLDERS = ("telemetry", "engine", "serving")
OF_A_MODEL = (
    *(("telemetry", ".json"), ("telemetry", ".jsonl")),
    *(("engine", ".log"), ("engine", ".probe.json"), ("serving", ".jsonl")),
)


def copy_own_files(folder: Path, sources: Sequence[Source]) -> None:
    """`runs/<run>/` for every run; a model's own files also at the top, and probes pooled where conditions allow."""
    for source in sources:
        target = folder / RUNS / file_name(source.label)
        if target.resolve() != source.folder:  # a worker's lies there already
            _copy_run(source, target)
    for model in models_of(sources):
        tried = that_tried(sources, model)
        if len(tried) == 1:
            _copy_model(tried[0], model, folder)
        elif tried and not unlike_conditions(sources, model):
            _pool_probes(tried, model, folder)


def _copy_run(source: Source, target: Path) -> None:
    target.mkdir(parents=True)
    for name in (MANIFEST, SUMMARY, "findings.json"):
        if (source.folder / name).is_file():
            shutil.copy2(source.folder / name, target)
    for name in FOLDERS:
        if (source.folder / name).is_dir():
            shutil.copytree(source.folder / name, target / name)


def _copy_model(source: Source, model: str, target: Path) -> None:
    for folder, ending in OF_A_MODEL:
        path = source.folder / folder / f"{file_name(model)}{ending}"
        if path.is_file():
            (target / folder).mkdir(exist_ok=True)
            shutil.copy2(path, target / folder)


def _pool_probes(tried: Sequence[Source], model: str, target: Path) -> None:
    """Requests sent one at a time to like engines on like machines are requests of one kind."""
    name = Path("engine") / f"{file_name(model)}.probe.json"
    completions: list[Completion] = []
    for source in tried:
        if (source.folder / name).is_file():
            completions += read_document(source.folder / name, Probe).completions
    if completions:
        (target / "engine").mkdir(exist_ok=True)
        (target / name).write_text(document({"completions": completions}), encoding="ascii")
