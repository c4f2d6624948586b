"""Writes the published JSON Schemas of what a run leaves; a test holds them to what the code writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pytest_llmeval.runs.summary import SUMMARY_VERSION, SummaryDocument
from pytest_llmeval.schema import SCHEMA_VERSION, Record

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """File name → schema.

    A field that a version adds is no new schema_version; one that changes meaning is. Schemas of earlier versions
    stay published beside the new ones: files of earlier runs keep to them.
    """
    documents: dict[str, tuple[str, Any]] = {
        f"summary-{SUMMARY_VERSION}.schema.json": ("summary.json of a run", SummaryDocument),
        f"record-{SCHEMA_VERSION}.schema.json": ("a line of results.jsonl, or a prediction file", Record),
    }
    return {name: _schema(says, kind) for name, (says, kind) in documents.items()}


def _schema(says: str, kind: Any) -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": says}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / name).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        print(FOLDER / name)
