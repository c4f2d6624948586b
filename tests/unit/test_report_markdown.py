"""report.md and the job's summary: sentences that follow from numbers, in Markdown that hostile text cannot leave."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_llmeval.report.files import github_commands, job_summary, write_reports
from pytest_llmeval.report.headline import headline, sign_test
from pytest_llmeval.report.markdown import session_report
from pytest_llmeval.report.text import code, fenced
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, Sample, Timing, Verdict
from pytest_llmeval.testing.runs import write_run

GITHUB = MarkdownIt("gfm-like", {"linkify": False, "html": True})


def records(model: str, solved: int, of: int = 40, outcome: Outcome = Outcome.WRONG_ANSWER) -> list[Record]:
    prompt = Prompt(PromptStyle.COMPLETION, "def f():\n")
    timing = Timing(4, 0.1, 0.2, 1.0, 1.3)
    return [
        Record(model, "set", f"t/{n}", prompt, (
            Sample(0, Completion("x", "stop", 5, 20, timing=timing), None,
                   Verdict(Outcome.PASSED if n < solved else outcome)),
        ))
        for n in range(of)
    ]  # fmt: skip


@pytest.fixture
def a_run(tmp_path):
    def make(*made: list[Record], **manifest: object) -> LoadedRun:
        return load_run(write_run(tmp_path / "run", [r for some in made for r in some], **manifest))

    return make


def test_a_model_is_called_better_only_where_the_problems_say_so(a_run):
    assert "It is ahead of two (20 problems better, 0 worse" in headline(
        a_run(records("one", 30), records("two", 10))
    )


def test_two_models_that_hardly_differ_are_not_told_apart(a_run):
    run = a_run(records("one", 30), records("two", 28))
    assert "This run does not tell it apart from two (2 problems better, 0 worse, p = 0.5)." in headline(run)
    assert "Do not choose between `one`, `two` by this run's pass@1" in session_report(run)


def test_the_sign_test_by_hand():
    assert sign_test(0, 0) == 1.0
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(8, 1) == pytest.approx(2 * (1 + 9) / 512)


def test_without_a_number_there_is_no_sentence(a_run):
    run = a_run([], models={"m": {"name": "m", "model": "x"}}, selected={"m": 3},
                states={"m": {"unavailable": "needs a GPU", "fault": None, "batch_s": None}})  # fmt: skip
    told = session_report(run)
    assert "No model was judged on any problem. `m` could not run on this machine." in told
    assert "not measured" in told
    assert "0.0 %" not in told
    assert "Quality" not in told
    assert "None." in told  # no recommendation follows


def test_it_has_the_sections_people_know_and_says_by_which_rule_it_recommends(a_run):
    told = session_report(a_run(records("one", 10, outcome=Outcome.TRUNCATED)))
    assert re.findall("^## (.*)", told, re.M) == [
        "Summary", "Model performance", "Model by model", "Infrastructure", "Limitations found in this run",
        "Recommendations",
    ]  # fmt: skip
    assert "Raise `max_tokens` of `one` (rule: more than 2 % of the answers were cut short)." in told
    assert "`one`: 75 % of the answers failed after being cut at their length limit." in told


HOSTILE = [
    "<script>x</script>", "](javascript:x)", "![x](http://h/x)", "| a | b |", "`` ` ``", "# h", "@everyone http://h/",
    "\x1b[31m\u202e", "```\n<img src=x>", "`", "a`|b", "&lt;b&gt;", "<!--", "\n\n---\n\n", "",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_code_span_or_fence(text):
    for written in (f"before {code(text)} after", f"| a |\n| --- |\n| {code(text)} |", fenced(text)):
        shown = GITHUB.render(written)
        left = re.sub(r"</?(p|code|pre|table|thead|tbody|tr|th|td)( class=\"[\w-]*\")?>", "", shown)
        assert "<" not in left
        assert "\x1b" not in shown


@given(st.text())
def test_no_text_leaves_its_code_span(text):
    shown = GITHUB.render(f"x{code(text)}y")
    assert re.fullmatch(r"<p>x<code>[^<]*</code>y</p>\n", shown)


def test_faults_are_told_in_the_summary_and_marked_on_github(a_run, tmp_path):
    fault = "died\n::error::forged\n<img src=x>```"
    run = a_run(records("one", 10), states={"one": {"unavailable": None, "fault": fault, "batch_s": None}})
    step = tmp_path / "step.md"
    step.write_text("before\n")
    environ = {"GITHUB_STEP_SUMMARY": str(step), "GITHUB_ACTIONS": "true"}
    write_reports(run, tmp_path / "mine.md", environ)
    assert (
        step.read_text() == "before\n" + (tmp_path / "mine.md").read_text() == "before\n" + job_summary(run)
    )
    assert "<img" not in re.sub(r"(?s)<pre>.*?</pre>", "", GITHUB.render(job_summary(run)))
    assert list(github_commands(run, environ)) == ["::error title=one is faulted::died"]
    assert list(github_commands(run, {})) == []
