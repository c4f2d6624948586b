"""report.md and the job's summary: sentences that follow from numbers, in Markdown that hostile text cannot leave."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_llmeval.report import leaderboard
from pytest_llmeval.report.board import board_html
from pytest_llmeval.report.files import github_commands, job_summary, write_reports
from pytest_llmeval.report.headline import headline, headlines, sign_test
from pytest_llmeval.report.markdown import session_report
from pytest_llmeval.report.text import code, fenced
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, Sample, Timing, Verdict
from pytest_llmeval.store import document
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


def test_the_higher_mean_is_not_called_ahead_where_most_problems_say_the_opposite(a_run):
    """Much better on a few problems, a little worse on many: a small p value alone does not say for whom."""

    def several(model: str, rights: list[int]) -> list[Record]:
        outcomes = [Outcome.WRONG_ANSWER, Outcome.PASSED]
        return [
            replace(record, samples=tuple(
                replace(record.samples[0], index=n, verdict=Verdict(outcomes[n < right])) for n in range(10)
            ))
            for record, right in zip(records(model, 0, len(rights)), rights, strict=True)
        ]  # fmt: skip

    run = a_run(several("one", [10] * 10 + [7] * 30), several("two", [0] * 10 + [8] * 30))
    told = headline(run)
    assert "one has pass@1 77.5 %" in told
    assert "It is ahead" not in told
    assert (
        "two is better on more problems, though not in the mean (10 problems better, 30 worse, p = 0.0022)."
        in told
    )
    assert "Do not choose between `one`, `two`" in session_report(run)


def test_one_is_no_plural(a_run):
    assert "two (1 problem better, 0 worse, p = 1)" in headline(a_run(records("one", 29), records("two", 28)))


def test_the_sign_test_by_hand():
    assert sign_test(0, 0) == 1.0
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(8, 1) == pytest.approx(2 * (1 + 9) / 512)


def test_without_a_number_there_is_no_sentence(a_run):
    run = a_run([], models={"m": {"name": "m", "model": "x"}}, selected={"m": 3},
                asked={"m": [{"problem_set": "set", "problems": 3}]},
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
    assert "Raise `max_tokens` of `one` (rule: more than 1 % of the answers were cut short)." in told
    told = told.partition("## Limitations")[2].partition("## Recommendations")[0]
    assert told.count("cut at their length limit") == 1, "the reason for its status says so already"
    assert "75.0 % of its answers failed after being cut at their length limit" in told


def test_a_degraded_model_is_ranked_and_its_shortfall_is_told(a_run):
    cut = records("one", 30, outcome=Outcome.TRUNCATED)
    run = a_run(cut, records("two", 10))
    told = session_report(run)
    assert "one has pass@1 75.0 %" in headline(run)
    assert (
        "one lost more than 1 % of its answers to faults or the length limit (status degraded)."
        in headline(run)
    )
    assert "`one` is degraded, 40 of 40 problems were judged" in told
    assert ["::warning" in line for line in github_commands(run, {"GITHUB_ACTIONS": "true"})] == [True]


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


def test_a_model_that_did_not_load_has_a_fault_for_each_of_its_problems(a_run):
    """Its items are errors in pytest: "0 faults" beside "faulted" would contradict them."""
    dead = {"unavailable": None, "fault": "out of memory", "batch_s": None}
    run = a_run(records("one", 10), records("dead", 0), states={"dead": dead})
    (run.folder / "results.jsonl").write_text(
        "".join(
            line
            for line in (run.folder / "results.jsonl").read_text().splitlines(keepends=True)
            if '"model":"one"' in line.replace(" ", "")
        )
    )
    run = load_run(run.folder)
    assert ">0 of 40<small>40 faults<" in board_html(run)
    assert "| 40 | 0 of 40 |" in session_report(run)
    assert "**Models evaluated in full:** 1 of 2" in session_report(run)


def test_columns_without_a_figure_are_named_in_a_line(a_run):
    said = session_report(a_run(records("one", 10)))
    assert re.search("\n\nnot measured: response, .*, utilisation, energy\n\n", said)
    assert "| utilisation |" not in said


def test_no_line_of_the_report_is_a_lonely_full_stop(a_run):
    gone = {"unavailable": "no GPU", "fault": None, "batch_s": None}
    run = a_run([], models={"one": {"name": "one", "model": "x"}}, states={"one": gone})
    assert "could not run on this machine" in session_report(run)
    assert "\n.\n" not in session_report(run)


def test_a_run_of_no_models_and_one_of_odd_names_are_told(a_run):
    told = session_report(a_run([], models={}))
    assert "## Summary\n\nNo problem was asked in this run.\n" in told
    odd = [replace(record, problem_set="<b>") for record in records("one", 40)]
    missing = [{"models": ["one"], "problem_set": "<b>", "tasks": ["<img src=x>"]}]
    run = a_run(odd, records("one", 40), merged={"runs": [], "missing": missing})
    for written in (session_report(run), job_summary(run)):
        shown = GITHUB.render(written)
        assert "<img" not in shown
        assert "<b>" not in shown
        assert "INCOMPLETE: not answered: 1 problem of <code>&lt;b&gt;</code>" in shown


def test_problem_sets_are_told_apart_in_every_report(a_run):
    """0.25 on one set and 1.0 on the other have no mean."""
    other = [replace(record, problem_set="other") for record in records("one", 40)]
    run = a_run(records("one", 10), other, records("two", 30))
    assert headlines(run) == [
        "set: two has pass@1 75.0 % (95 % interval 59.8 to 85.8 %) on 40 problems. It is ahead of one (20 problems "
        "better, 0 worse, p = 1.9e-06).",
        "other: one has pass@1 100.0 % (95 % interval 91.2 to 100.0 %) on 40 problems.",
    ]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| complete \| ([\d.]+) %", session_report(run), re.M)
    assert rows == [("one", "set", "25.0"), ("one", "other", "100.0"), ("two", "set", "75.0")]
    assert "Quality on `other`: pass@1 100.0 %" in session_report(run)
    assert "For quality on `set` take `two`" in session_report(run)
    assert [row[:4] for row in leaderboard.table(run.lines)[1:]] == [
        ("one", "set", "complete", "25.0 %"), ("one", "other", "complete", "100.0 %"),
        ("two", "set", "complete", "75.0 %"),
    ]  # fmt: skip
    assert "62.5" not in session_report(run) + board_html(run) + document(run.summary)


def test_a_set_that_was_judged_in_full_is_ranked_though_another_one_broke(a_run):
    broken = [
        replace(record, problem_set="other") for record in records("one", 0, outcome=Outcome.SANDBOX_ERROR)
    ]
    run = a_run(records("one", 40), broken, records("two", 10))
    assert [(line.problem_set, str(line.status)) for line in run.lines][:2] == [
        ("set", "complete"),
        ("other", "faulted"),
    ]
    assert headlines(run)[0].startswith("set: one has pass@1 100.0 %")
    assert headlines(run)[-1] == "one had faults."


def test_models_side_by_side_are_told_with_the_devices_they_had(a_run):
    seats = {"one": {"places": ["0"], "beside": ["two"]}, "two": {"places": ["1", "2"], "beside": ["one"]}}
    run = a_run(records("one", 2), records("two", 2))
    run = replace(run, manifest={**run.manifest, "side_by_side": {"kind": "gpu", "models": seats}})
    told = session_report(run)
    assert "Side by side: `one` on 0, beside `two`; `two` on 1 and 2, beside `one`" in told
    assert "Side by side" not in session_report(a_run(records("one", 2)))
