"""One run's folder made of several: shards of a run, or models that were evaluated on different machines.

What contradicts is refused before anything is written. Each run's own manifest, summary, logs and telemetry stay in
`runs/<run>/` of the new folder; speeds are put together only where they were measured under the same conditions.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_llmeval.merging.contradictions import refuse_contradictions
from pytest_llmeval.merging.copies import copy_own_files
from pytest_llmeval.merging.manifest import merged_manifest
from pytest_llmeval.merging.records import Doubles, collect_records
from pytest_llmeval.merging.sources import Source, read_sources
from pytest_llmeval.schema import PassRule
from pytest_llmeval.store import (
    GENERATIONS,
    MANIFEST,
    RESULTS,
    Predictions,
    RunStore,
    create_run_folder,
    located,
    point_latest,
)
from pytest_llmeval.store.packed import SUFFIX

__all__ = ["Doubles", "Source", "merge_into", "merge_runs", "read_sources"]


def merge_runs(folders: Sequence[Path], reports: Path) -> Path:
    """Make a new run under `reports` of the runs in `folders`; returns its folder. The runs stay as they are.

    Raises:
        ConfigurationError: a folder holds no run, or two runs contradict one another.
        LLMEvalError: what a run left cannot be read, or the new one cannot be written.
    """
    sources = read_sources(folders)
    refuse_contradictions(sources)
    folder = create_run_folder(reports, f"{datetime.now():%Y%m%d_%H%M%S}")
    try:
        _merge(folder, sources)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # half a run would be taken for one
        raise
    point_latest(folder)
    return folder


def _merge(folder: Path, sources: Sequence[Source]) -> None:
    """As the first of the runs was written: packed or not, with files for people or without."""
    first = sources[0]
    packed = located(first.folder / RESULTS).suffix == SUFFIX
    predictions: Predictions = first.manifest.get("predictions", "all")
    rule = PassRule(first.manifest.get("item_passes", PassRule.ANY))
    store = RunStore(folder, predictions, rule, packed)
    try:
        merge_into(store, sources)
        for (
            source
        ) in sources:  # whoever resumes finds what was answered and not judged, and how all was asked
            if (path := located(source.folder / GENERATIONS)).is_file():
                store.copy_generations(path)
    finally:
        store.close()


def merge_into(
    store: RunStore, sources: Sequence[Source], doubles: Doubles = "refuse", side_by_side: bool = False
) -> dict[str, Any]:
    """Write the Records, the manifest and the copies of a merged run into a folder; returns the manifest.

    `side_by_side`: the runs went on at the same time and shared what they asked.
    """
    held = collect_records(store, sources, doubles)
    manifest = merged_manifest(store.folder.name, sources, held, side_by_side)
    store.write_json(MANIFEST, manifest)
    copy_own_files(store.folder, sources)
    return manifest
