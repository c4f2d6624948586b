"""Judging a run that is over: what the command prints of texts that others wrote."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pytest_llmeval.__main__ import main
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, Sample, Verdict
from pytest_llmeval.testing.runs import write_run


def record(task: int, outcome: Outcome) -> Record:
    sample = Sample(0, Completion("x"), None, Verdict(outcome))
    return Record("m", "set", f"t/{task}", Prompt(PromptStyle.COMPLETION, "p"), (sample,))


def test_an_engines_words_neither_steer_the_terminal_nor_command_the_job(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_run(tmp_path / "run", [record(1, Outcome.PASSED), record(2, Outcome.SANDBOX_ERROR)])
    reason = "::error::\x1b[31mforged"
    (folder / "summary.json").write_text(
        json.dumps({"models": {"m": {"status": "degraded", "reason": reason}}})
    )
    assert main(["gate", str(folder)]) == 1
    told = capsys.readouterr().out
    assert r"\x3a:error::\x1b[31mforged" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("command", [["gate"], ["power", "--detect", "3", "--baseline"]])
def test_a_run_without_models_is_no_success(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    assert main([*command, str(write_run(tmp_path / "run", []))]) == 2
    assert "run holds no model: there is nothing to judge" in capsys.readouterr().err


def test_what_is_wrong_is_told_without_steering_the_terminal(tmp_path, capsys):
    assert main(["report", str(tmp_path / "no\x1b[31mrun")]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_power_is_told_for_each_problem_set_as_it_is_judged(tmp_path, capsys):
    """Pooled, 328 problems of two sets promised what no test of either could hold."""
    both = [
        replace(record(n, Outcome.PASSED), problem_set=name) for name in ("one", "other") for n in range(164)
    ]
    run = str(write_run(tmp_path / "both", both))
    assert main(["power", "--detect", "5", "--baseline", run]) == 0
    first, one, _, other, _ = capsys.readouterr().out.splitlines()
    assert (
        "corrected for 1 model (2 tests, one for each problem set) and the other rules it is 0.0125" in first
    )
    assert (one.partition(" ×")[0], other.partition(" ×")[0]) == (
        "m, one: 164 problems",
        "m, other: 164 problems",
    )
    alone = str(write_run(tmp_path / "alone", both[:164]))
    assert main(["power", "--detect", "5", "--models", "2", "--baseline", alone]) == 0
    assert capsys.readouterr().out.splitlines()[1].partition(": ")[2] == one.partition(": ")[2]
