"""Runs that never ran: folders like those under reports/, for tests and benchmarks of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_llmeval.schema import SCHEMA_VERSION, Record
from pytest_llmeval.store import MANIFEST, RunStore


def write_run(folder: Path, records: Iterable[Record], **manifest: Any) -> Path:
    """Write a run that left these Records; `manifest` adds to its manifest, or replaces what is made up here."""
    store = RunStore(folder)
    asked: dict[str, int] = {}
    for record in records:
        store.append(record)
        asked[record.model] = asked.get(record.model, 0) + 1
    store.write_json(MANIFEST, {**_manifest(folder, asked), **manifest})
    store.close()
    return folder


def _manifest(folder: Path, asked: Mapping[str, int]) -> dict[str, Any]:
    """Every field that readers need."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": folder.name,
        "started_at": "2026-01-01T00:00:00+00:00",
        "versions": {},
        "machine": {},
        "sandbox": None,
        "models": {name: {"name": name, "model": "made/up"} for name in asked},
        "asked": {name: [] for name in asked},
        "selected": dict(asked),
        "item_passes": "any",
        "engines": {},
        "states": {},
    }
