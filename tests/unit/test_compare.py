"""Runs side by side."""

from __future__ import annotations

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.report.compare import command, comparison
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, Sample, Verdict
from pytest_llmeval.testing.runs import write_run


@pytest.fixture
def a_run(tmp_path):
    def make(name: str, solved: set[int], model: str = "m", **manifest: object) -> LoadedRun:
        records = [
            Record(model, "set", f"t/{n}", Prompt(PromptStyle.COMPLETION, "p"), (
                Sample(0, Completion("x"), None, Verdict(Outcome.PASSED if n in solved else Outcome.TIMEOUT)),
            ))
            for n in range(20)
        ]  # fmt: skip
        return load_run(write_run(tmp_path / name, records, **manifest))

    return make


def test_it_says_how_much_changed_how_surely_and_on_which_problems(a_run, tmp_path):
    page = comparison([a_run("old", set(range(12))), a_run("new", set(range(2, 12)) | {19})], tmp_path)
    assert "new: pass@1 differs by -5.0 points (95 % interval" in page
    assert "on these 20 problems; 1 won, 2 lost, p = 1" in page
    assert "Lost: 2" in page
    assert "Won: 1" in page
    assert "href='old/report.html#i" in page


def test_it_says_what_was_set_differently(a_run, tmp_path):
    runs = [a_run("old", {1}, versions={"vllm": "0.31"}), a_run("new", {1}, versions={"vllm": "0.<b>"})]
    page = comparison(runs, tmp_path)
    assert "<th scope=row>versions.vllm</th><td>0.31</td><td>0.&lt;b&gt;</td>" in page
    assert "started_at" not in page


def test_runs_without_a_common_model_are_refused(a_run, tmp_path):
    with pytest.raises(ConfigurationError, match="no model is in all of"):
        comparison([a_run("old", {1}), a_run("new", {1}, model="other")], tmp_path)
    with pytest.raises(ConfigurationError, match="needs two runs"):
        command([str(tmp_path / "old")])


def test_the_command_writes_the_page_for_three_runs(a_run, tmp_path, capsys):
    folders = [str(a_run(name, set(range(n))).folder) for name, n in (("a", 3), ("b", 5), ("c", 9))]
    target = tmp_path / "out.html"
    assert command([*folders, "--to", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.read_text().count("pass@1 differs by") == 2
