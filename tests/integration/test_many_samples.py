"""More answers than are held at a time, on less disk: the same run."""

from __future__ import annotations

import json

import pytest

from pytest_llmeval.pipeline import batch
from pytest_llmeval.runs import load_run

SEVERAL = '\n[models.several]\nextends = "good"\nsampling = { n = 5 }\n'


@pytest.mark.parametrize("scoring", ["overlap", "after"])
def test_a_model_is_asked_window_by_window_and_nothing_is_lost(project, pytester, monkeypatch, scoring):
    """With `after`, a window is judged while the engine idles; its speeds leave those pauses out."""
    monkeypatch.setattr(batch, "WINDOW", 3)
    monkeypatch.setattr(batch, "JUDGED_AT_ONCE", 2)
    asked = ("--llmeval-models=several", "--llmeval-limit=3", "--llmeval-probe=off")
    project(*asked, f"--llmeval-scoring={scoring}", registry=SEVERAL).assert_outcomes(passed=3)
    run = load_run(pytester.path / "reports/latest")
    assert [(r.n, r.correct) for r in run.of("several")] == [(5, 5)] * 3
    assert run.models[0].summary.batch_tok_s > 0


def test_a_packed_run_without_files_for_people_is_reported_judged_and_resumed(project, pytester):
    pytest.importorskip("zstandard")
    asked = ("--llmeval-models=good", "--llmeval-limit=3", "--llmeval-probe=off")
    project(*asked, "--llmeval-compress=zstd", "--llmeval-predictions=none").assert_outcomes(passed=3)
    packed = (pytester.path / "reports/latest").resolve()
    left = {path.name for path in packed.iterdir()}
    assert {"results.jsonl.zst", "generations.jsonl.zst", "report.html"} <= left
    assert not {"results.jsonl", "generations.jsonl", "predictions"} & left
    assert "prediction file</a>" not in (packed / "report.html").read_text()
    judged = project(*asked, f"--llmeval-baseline={packed}", "--llmeval-resume=latest")
    judged.stdout.fnmatch_lines(["resume: good: 3 of 3 answers*", "*gate*"])
    assert judged.ret == 0
    manifest = json.loads((pytester.path / "reports/latest/manifest.json").read_text())
    assert manifest["predictions"] == "all"
