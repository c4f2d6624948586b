"""What a user types wrong ends the session before anything runs, and the message says what to type instead."""

from __future__ import annotations

import gzip
import json

import pytest

OWN = {
    "task_id": "1",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "test": "def check(c):\n    assert c(1)\n",
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--llmeval-sandbox-workers=0"], "--llmeval-sandbox-workers=0: must be at least 1"),
        (["--llmeval-sandbox-workers=-1"], "--llmeval-sandbox-workers=-1: must be at least 1"),
        (["--llmeval-load-timeout=0"], "--llmeval-load-timeout=0*must be seconds above 0"),
        (["--llmeval-load-timeout=nan"], "--llmeval-load-timeout=nan*must be seconds above 0"),
        (["--llmeval-hang-timeout=-5"], "--llmeval-hang-timeout=-5*must be seconds above 0"),
        (["--llmeval-sandbox-limit=wall_s=0"], "sandbox limit 'wall_s=0': must be above 0*"),
        (["--llmeval-sandbox-limit=cpu_s=0.5"], "sandbox limit 'cpu_s=0.5': must be at least 1*"),
        (["--llmeval-concurrency=²"], "--llmeval-concurrency=²: must be a number of requests, or auto"),
        (["--llmeval-probe=²"], "--llmeval-probe=²: must be a number of requests, or off"),
        (["--llmeval-baseline="], "--llmeval-baseline= has no value: write one, or leave the option out"),
        (["--llmeval-models=,"], "--llmeval-models= has no value*"),
        (["--llmeval-gate", ""], "--llmeval-gate= has no value*"),
        (["--llmeval-resume="], "--llmeval-resume= has no value*"),
        (["--llmeval-baseline=~no-such-user/x.json"], "the baseline *~no-such-user/x.json does not exist*"),
        (
            ["--llmeval-models=good", "--llmeval-exclude-models=go*"],
            "--llmeval-models and --llmeval-exclude-models leave no model of*models.toml: good, weak",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_a_usage_error(project, arguments, said):
    result = project("--collect-only", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said}*"])


def test_a_category_that_does_not_exist_is_told_where_it_leaves_nothing(project, pytester):
    pytester.makefile(
        ".ini", pytest="[pytest]\nllmeval_registry = models.toml\n"
    )  # not strict: pytest is silent
    result = project("-m", "codng and not small")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(
        [
            "llmeval: nothing is selected: no item is marked 'codng'; did you mean 'coding'? "
            "-m chooses here by coding, humaneval, small"
        ]
    )
    assert str(result.stdout).count("no item is marked") == 1
    right = project("-m", "coding and small and humaneval", "--llmeval-limit=1", "--llmeval-wrong=xfail")
    right.stdout.no_fnmatch_line("*is marked*")
    nothing = project("-m", "coding and not humaneval")  # each name exists: together they leave nothing
    nothing.stdout.no_fnmatch_line("*is marked*")


def test_a_problem_set_that_is_not_on_this_machine_is_no_unknown_mark(project, pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_LLMEVAL_CACHE", str(pytester.path / "empty"))
    suite = (pytester.path / "test_humaneval.py").read_text()
    pytester.makepyfile(test_plus=suite.replace("humaneval", "humanevalplus"))
    result = project("-m", "humanevalplus")
    result.assert_outcomes(skipped=1, deselected=328)
    result.stdout.no_fnmatch_line("*is marked*")


def test_a_home_folder_is_one_also_where_no_shell_has_seen_it(project, pytester, monkeypatch):
    monkeypatch.setenv("HOME", str(pytester.path / "home"))
    pytester.makefile(".ini", pytest="[pytest]\nllmeval_registry = models.toml\nllmeval_reports = ~/runs\n")
    assert project("--llmeval-limit=1", "--llmeval-models=good").ret == 0
    assert project("--llmeval-limit=1", "--llmeval-models=good", "--llmeval-reports=~/more").ret == 0
    assert (pytester.path / "home/runs/latest").is_dir()
    assert (pytester.path / "home/more/latest").is_dir()
    assert not (pytester.path / "~").exists()


@pytest.mark.parametrize("name", ["_drafts", "serving", "memory", "tryfirst", "long-prompts"])
def test_a_file_whose_name_cannot_be_a_marker_needs_another(project, pytester, name):
    (pytester.path / f"{name}.jsonl").write_text(json.dumps(OWN))
    result = project("--collect-only", f"--llmeval-problems={name}.jsonl")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--llmeval-problems *" + name + ".jsonl*"])


@pytest.mark.parametrize("option", ["--llmeval-samples=", "--llmeval-problems="])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(gzip.compress(b"{}" * 99)[:20] + b"\xff" * 40, id="broken gzip"),
        pytest.param(b"[" * 100_000, id="deep brackets"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(project, pytester, option, content):
    name = "broken.jsonl.gz" if content[:1] != b"[" else "broken.jsonl"
    (pytester.path / name).write_bytes(content)
    result = project("--collect-only", f"{option}{name}")
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    said = result.stdout.str() + result.stderr.str()
    assert name in said
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said


def test_a_registry_without_models_is_a_mistake(project, pytester):
    (pytester.path / "empty.toml").write_text("[defaults]\n")
    result = project("--collect-only", "--llmeval-registry=empty.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*empty.toml holds no model*"])


@pytest.mark.parametrize("field", ["task_id", "prompt", "test"])
def test_half_a_character_is_a_mistake_of_its_line(project, pytester, field):
    """JSON can spell it; one such problem made an error of every item."""
    (pytester.path / "mine.jsonl").write_text(json.dumps({**OWN, field: "\ud800"}))
    result = project("--collect-only", "--llmeval-problems=mine.jsonl")
    said = result.stdout.str() + result.stderr.str()
    assert f"mine.jsonl, line 1: {field} must be a text" in said


def test_a_file_of_samples_without_one_is_a_mistake(project, pytester):
    (pytester.path / "empty.jsonl").write_text("\n")
    result = project("--llmeval-samples=empty.jsonl")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--llmeval-samples: *empty.jsonl holds no sample; a line is an object with*"]
    )
