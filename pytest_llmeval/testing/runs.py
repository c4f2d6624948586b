"""Runs that never ran: folders like those under reports/, for tests and benchmarks of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_llmeval.schema import SCHEMA_VERSION, Record, Sampling
from pytest_llmeval.store import MANIFEST, RunStore


def write_run(folder: Path, records: Iterable[Record], **manifest: Any) -> Path:
    """Write a run that left these Records; `manifest` adds to its manifest, or replaces what is made up here."""
    store = RunStore(folder)
    asked: dict[str, dict[str, dict[str, int]]] = {}
    for record in records:
        store.append(record)
        asked.setdefault(record.model, {}).setdefault(record.problem_set, {})[record.task_id] = record.n
    store.write_json(MANIFEST, {**_manifest(folder, asked), **manifest})
    store.close()
    return folder


def _manifest(folder: Path, asked: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, Any]:
    """Every field that readers need."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": folder.name,
        "started_at": "2026-01-01T00:00:00+00:00",
        "versions": {},
        "machine": {},
        "sandbox": None,
        "models": {name: {"name": name, "model": "made/up"} for name in asked},
        "asked": {name: [_row(one, tasks) for one, tasks in sets.items()] for name, sets in asked.items()},
        "selected": {name: sum(map(len, sets.values())) for name, sets in asked.items()},
        "item_passes": "any",
        "engines": {},
        "states": {},
    }


def _row(problem_set: str, tasks: Mapping[str, int]) -> dict[str, Any]:
    """How a problem set was asked: greedily where a problem has one answer."""
    n = max(tasks.values())
    sampling = Sampling(n, temperature=0.0 if n == 1 else 0.8)
    return {"problem_set": problem_set, "problems": len(tasks), "sampling": sampling}
