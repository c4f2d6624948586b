"""The gate's verdict in the page, in Markdown and as annotations of a GitHub job."""

from __future__ import annotations

import json

import pytest

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.report.files import github_commands, job_summary
from pytest_llmeval.report.links import Links, anchor
from pytest_llmeval.report.markdown import session_report
from pytest_llmeval.report.page import page_html
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, RecordId, Sample, Verdict
from pytest_llmeval.testing.runs import write_run

GITHUB = {"GITHUB_ACTIONS": "true"}


def record(task: int, outcome: Outcome = Outcome.PASSED, problem_set: str = "set") -> Record:
    sample = Sample(0, Completion("x", "stop"), None, Verdict(outcome))
    return Record("m", problem_set, f"t/{task}", Prompt(PromptStyle.COMPLETION, "p"), (sample,))


def finding(rule: str, conclusion: str, says: str = "said", **more: object) -> dict:
    return {
        "id": f"gate::m::{rule}",
        "model": "m",
        "rule": rule,
        "conclusion": conclusion,
        "says": says,
        **more,
    }


REGRESSED = finding(
    "accuracy",
    "regressed",
    "pass@1 90 % → 60 %",
    details=["newly failed: t/1, t/9"],
    figures={"worse": ["t/1", "t/9"], "better": ["t/0"]},
)


@pytest.fixture
def gated(tmp_path):
    def make(
        *findings: dict, records: tuple[Record, ...] = (record(0), record(1)), **more: object
    ) -> LoadedRun:
        folder = write_run(tmp_path / "run", records)
        document = {
            "baseline": "run earlier",
            "changed": {"m": ["engine.dtype: a → b"]},
            "findings": findings,
        }
        (folder / "findings.json").write_text(json.dumps({**document, **more}))
        return load_run(folder)

    return make


def page(run: LoadedRun) -> str:
    return page_html(run, Links.for_samples(1, run.folder, run.folder))


def test_the_page_says_what_the_gate_found_and_leads_to_the_problems_that_changed_sides(gated):
    told = page(gated(REGRESSED, finding("energy", "not_judged")))
    assert "The gate fails against run earlier: 1 of 2 Findings: m (regressed accuracy)." in told
    assert "changed in m: engine.dtype: a → b" in told
    for words, task in (("newly failed: 2", 1), ("newly passed: 1", 0)):
        assert f"{words}</summary>" in told
        assert f"<a href='#{anchor(RecordId('m', 'set', f't/{task}'))}'>t/{task}</a>" in told
    assert ", t/9</p>" in told, "a problem that this run did not judge is named all the same"
    assert "1 more Findings: unchanged" in told


def test_a_finding_on_one_of_several_problem_sets_leads_to_that_set(gated):
    run = gated({**REGRESSED, "rule": "accuracy[other]"}, records=(record(1), record(1, problem_set="other")))
    assert f"<a href='#{anchor(RecordId('m', 'other', 't/1'))}'>t/1</a>" in page(run)


def test_without_a_gate_nothing_is_said_of_one(tmp_path):
    run = load_run(write_run(tmp_path / "run", [record(1)]))
    assert "baseline" not in page(run) + session_report(run) + job_summary(run)


def test_undecided_findings_fail_only_where_that_was_wanted(gated):
    undecided = finding("accuracy", "inconclusive")
    assert "The gate passes against run earlier: none of 1 Findings fails, 1 of them undecided." in page(
        gated(undecided)
    )
    assert list(github_commands(gated(undecided), GITHUB)) == [
        "::warning title=m accuracy%3A inconclusive::said"
    ]
    assert "The gate fails" in page(gated(undecided, inconclusive="fail"))
    assert next(github_commands(gated(undecided, inconclusive="fail"), GITHUB)).startswith("::error ")


def test_a_jobs_page_and_the_report_hold_the_verdict(gated):
    run = gated(REGRESSED, finding("energy", "unchanged"))
    for told in (job_summary(run), session_report(run)):
        assert "**The gate fails** against `run earlier`: 1 of 2 Findings fail." in told
        assert "| `m` | `accuracy` | regressed | `pass@1 90 % → 60 %`<br>`newly failed: t/1, t/9` |" in told
        assert "1 more Findings: unchanged" in told
        verdict = told.index("**The gate fails:** `m` (regressed `accuracy`).")
        assert verdict < told.index("| model | status |"), (
            "whoever reads no further than the headline has seen it"
        )
    passing = gated(finding("energy", "unchanged"))
    assert "**The gate passes.**" in job_summary(passing)


def test_a_finding_annotates_a_github_job_and_no_text_in_it_begins_a_command(gated):
    evil = "50 %\n::error::forged\r::set-output name=x::y ##[error]forged\u2028::warning::z"
    run = gated({**REGRESSED, "says": evil, "details": [evil]}, finding("faults", "improved"))
    [line] = github_commands(run, GITHUB)
    assert line.splitlines() == [line]
    assert line.startswith("::error title=m accuracy%3A regressed::50 %25%0A\\x3a:error::forged\\x0d")
    assert "##[" not in line
    assert list(github_commands(run, {})) == []


def test_findings_that_are_none_are_named(gated):
    with pytest.raises(LLMEvalError, match=r"findings\.json holds no Findings"):
        page(gated({"model": "m"}))


@pytest.mark.parametrize(("choice", "level"), [("warn", ["warning"]), ("fail", ["error"]), ("pass", [])])
def test_undecided_findings_are_marked_on_github_as_the_user_chose(gated, choice, level):
    run = gated(finding("accuracy", "inconclusive"), inconclusive=choice)
    assert [line.split()[0].strip(":") for line in github_commands(run, GITHUB)] == level
