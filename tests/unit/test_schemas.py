"""The published JSON Schemas: what a run leaves conforms to them, and they are what the code writes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import jsonschema
import pytest

from pytest_llmeval.report.rebuild import rebuild
from pytest_llmeval.runs import load_run
from pytest_llmeval.schema import (
    Completion,
    Outcome,
    Program,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Timing,
    Verdict,
)
from pytest_llmeval.testing.runs import write_run

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    completion = Completion("x", "stop", 5, 20, timing=Timing(4, 0.1, 0.2, 1.0, 1.3))
    sample = Sample(0, completion, Program("x", "rule", ("dedent",)), Verdict(Outcome.PASSED, wall_s=0.1))
    record = Record("m", "set", "t/0", Prompt(PromptStyle.CHAT, "p", protected=((0, 1),)), (sample,))
    folder = write_run(tmp_path_factory.mktemp("run"), [record])
    rebuild(load_run(folder))
    return folder


def schema(name: str) -> dict:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def test_a_summary_conforms(run):
    jsonschema.validate(json.loads((run / "summary.json").read_text()), schema("summary-2"))


def test_records_and_predictions_conform(run):
    lines = (run / "results.jsonl").read_text().splitlines()
    for text in [*lines, *(path.read_text() for path in run.rglob("predictions/**/*.json"))]:
        jsonschema.validate(json.loads(text), schema("record-1"))


def test_a_summary_without_its_figures_does_not(run):
    document = json.loads((run / "summary.json").read_text())
    document["models"]["m"]["problem_sets"]["set"]["pass_at_1"] = "much"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema("summary-2"))


def test_what_is_published_is_what_the_code_writes():
    spec = importlib.util.spec_from_file_location("write_schemas", ROOT / "scripts/write_schemas.py")
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    for name, content in written.schemas().items():
        assert json.loads((SCHEMAS / name).read_text()) == content, "run scripts/write_schemas.py"
