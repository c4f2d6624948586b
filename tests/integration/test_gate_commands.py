"""From runs to a calibrated baseline, and a verdict against it: the commands over whole runs of a fake engine."""

from __future__ import annotations

import json

import pytest

from pytest_llmeval.__main__ import main

SUBJECT = '[models.subject]\nmodel = "fake"\nengine = { solves = 10 }\n'
# Of a fake engine's speeds only those are its own that it makes up; a few problems settle a wide margin.
RULES = "[gate]\nbatch_speed = false\nmemory = false\n" + "".join(
    f"{rule} = {{ margin = 30 }}\n" for rule in ("accuracy", "no_code", "truncated")
)
ARGUMENTS = ("--llmeval-models=subject", "--llmeval-limit=12", "--llmeval-probe=2")


def test_calibration_makes_a_baseline_against_which_the_same_run_is_unchanged(project, pytester, capfd):
    project("--collect-only", "-q", registry=SUBJECT + RULES)  # writes the project
    made = ["calibrate", "-o", "b.json", "--reports", "runs", "--", "-q", *ARGUMENTS]
    assert main(made) == 0
    said = capfd.readouterr().out
    assert "calibration run 5 of 5" in said
    assert "b.json: run" in said
    assert "5 runs in all" in said
    assert len(list((pytester.path / "runs").glob("2*"))) == 5

    result = project(*ARGUMENTS, "--llmeval-baseline=b.json", registry=SUBJECT + RULES)
    assert result.ret == pytest.ExitCode.OK
    document = json.loads((pytester.path / "reports/latest/findings.json").read_text())
    found = {f["rule"]: f["conclusion"] for f in document["findings"] if f["conclusion"] != "not_judged"}
    rules = ("accuracy", "no_code", "truncated", "output_length", "faults", "response_time", "first_token")
    assert found == dict.fromkeys((*rules, "output_speed"), "unchanged")
    assert document["changed"] == {"subject": []}

    other = project(
        *ARGUMENTS, "--llmeval-concurrency=2", "--llmeval-baseline=b.json", registry=SUBJECT + RULES
    )
    other.stdout.fnmatch_lines(["subject: not comparable: *response_time*(concurrency: all at once → 2)"])

    run = str((pytester.path / "reports/latest").resolve())
    capfd.readouterr()
    assert main(["baseline", run, "-o", "one.json"]) == 0
    assert "of 1 run (4 more are needed to judge them)" in capfd.readouterr().out
    assert main(["gate", run, "--baseline", "one.json"]) == 0
    assert "subject accuracy: unchanged" in capfd.readouterr().out
    assert main(["gate", run, "--baseline", "one.json", "--rule", "pass@1 >= 0.9"]) == 1
    assert main(["power", "--baseline", "one.json", "--detect", "8"]) == 0
    assert "subject: 12 problems × 1 sample" in capfd.readouterr().out


def test_a_calibration_that_runs_no_model_or_fails_says_so(project, pytester, capfd):
    project(
        "--collect-only", "-q", registry='[models.broken]\nmodel = "fake"\nengine = { fail_load = "no" }\n'
    )
    pytester.makepyfile(test_other="def test_other(): pass")
    assert main(["calibrate", "-o", "b.json", "--", "-q", "test_other.py"]) == 2
    assert "ran no model: name a suite behind --" in capfd.readouterr().err
    assert (
        main(["calibrate", "-o", "b.json", "--", "-q", "--llmeval-models=broken", "--llmeval-limit=1"]) == 2
    )
    assert "ended with exit code 1" in capfd.readouterr().err
    assert main(["power", "--baseline", "b.json", "--detect", "800"]) == 2
    assert not (pytester.path / "b.json").exists()
