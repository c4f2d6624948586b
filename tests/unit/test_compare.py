"""Runs side by side."""

from __future__ import annotations

import pytest

from pytest_llmeval.errors import ConfigurationError, LLMEvalError
from pytest_llmeval.gate.paired import tango
from pytest_llmeval.report.compare import command, comparison
from pytest_llmeval.report.links import item_path
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, RecordId, Sample, Verdict
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
    # Both bounds together are wrong in 5 % of cases, so each in 2.5 %: Tango's interval of 2 lost, 1 won of 20.
    low, high = tango(2, 1, 20, 0.975)
    assert f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f}) on" in page
    assert "Lost: 2" in page
    assert "Won: 1" in page
    assert "href='old/report.html#i" in page


def test_answers_at_temperature_0_are_one_however_many_were_drawn(tmp_path):
    """Ten alike answers to one problem that was lost are no proof of anything, as the gate says too."""

    def greedy(name: str, lost: set[int]) -> LoadedRun:
        records = [
            Record("m", "set", f"t/{n}", Prompt(PromptStyle.COMPLETION, "p"), tuple(
                Sample(i, Completion("x"), None, Verdict(Outcome.TIMEOUT if n in lost else Outcome.PASSED))
                for i in range(10)
            ))
            for n in range(20)
        ]  # fmt: skip
        row = {"problem_set": "set", "problems": 20, "sampling": {"n": 10, "temperature": 0.0}}
        return load_run(write_run(tmp_path / name, records, asked={"m": [row]}))

    page = comparison([greedy("old", set()), greedy("new", {3})], tmp_path)
    low, high = tango(1, 0, 20, 0.975)
    assert (
        f"differs by -5.0 points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}) on these 20 problems; "
        "0 won, 1 lost, p = 1<" in page
    )
    assert "before 10 of 10" in page


def test_it_leads_to_an_items_own_page_where_the_run_has_one(a_run, tmp_path):
    """A run that was planned with very many samples has such pages, however few of them it came to."""
    old, new = a_run("old", {1, 2}), a_run("new", {1})
    own = item_path(old.folder, RecordId("m", "set", "t/2"))
    own.parent.mkdir(parents=True)
    own.write_text("")
    page = comparison([old, new], tmp_path)
    assert "href='old/items/m/set/t%252F2.html'>before" in page
    assert "href='new/report.html#i" in page


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


def test_a_page_that_cannot_be_written_is_named(a_run, tmp_path):
    folders = [str(a_run(name, {1}).folder) for name in ("a", "b")]
    with pytest.raises(LLMEvalError, match=r"gone/out\.html cannot be written: No such file"):
        command([*folders, "--to", str(tmp_path / "gone/out.html")])


def test_the_command_writes_the_page_for_three_runs(a_run, tmp_path, capsys):
    folders = [str(a_run(name, set(range(n))).folder) for name, n in (("a", 3), ("b", 5), ("c", 9))]
    target = tmp_path / "out.html"
    assert command([*folders, "--to", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.read_text().count("pass@1 differs by") == 2
