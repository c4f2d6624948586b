"""The gate in a run: exit code, Findings as reports of their own, wrong answers as expected failures.

Baselines are written as `python -m pytest_llmeval baseline` writes them, with a set number of passes, because a
run of its own for each would take minutes; tests at the end make them of real runs.
"""

from __future__ import annotations

import glob
import json
import xml.etree.ElementTree as ET

import pytest

from pytest_llmeval.gate.baseline import Baseline, write_baseline
from pytest_llmeval.gate.figures import ModelFigures, RunFigures, Tally, Task
from pytest_llmeval.problems import load_problem_set

PROBLEMS = [problem.task_id for problem in load_problem_set("humaneval").problems][:40]
SUBJECT = '[models.subject]\nmodel = "fake"\ncategories = ["coding"]\nengine = {{ solves = {} }}\n'
# With 40 problems a margin of 8 points can be settled; fewer rules make outcomes easy to count.
GATE = [f"--llmeval-gate={rule}" for rule in ("accuracy.margin=8", "no_code=false", "truncated=false")]
USUAL = ("--llmeval-limit=40", "--llmeval-probe=off", *GATE)
NOT_JUDGED = 7  # output length and six measures: these baselines hold passes only


def figures(solves: int, answers: int = 40) -> ModelFigures:
    tallies = {Task("humaneval", t): Tally(1, int(i < solves)) for i, t in enumerate(PROBLEMS[:answers])}
    return ModelFigures(tallies=tallies, selected=answers)


@pytest.fixture
def baseline(pytester):
    """Writes a baseline in which each model solved so many of the first 40 problems."""

    def write(**solved: int) -> str:
        run = RunFigures("earlier", "2026-11-01T00:00:00", {name: figures(n) for name, n in solved.items()})
        write_baseline(Baseline("baseline.json", [run]), pytester.path / "baseline.json")
        return "--llmeval-baseline=baseline.json"

    return write


@pytest.fixture
def gated(project, monkeypatch):
    """Runs `subject`, which solves so many of 40 problems; `more` adds to the registry."""
    monkeypatch.setenv("COLUMNS", "400")  # pytest's summary cuts lines to the terminal

    def run(solves: int, *args: str, more: str = "", only: bool = True) -> pytest.RunResult:
        chosen = ("--llmeval-models=subject",) if only else ()
        return project(*USUAL, *chosen, *args, registry=SUBJECT.format(solves) + more)

    return run


def findings(pytester) -> dict[str, str]:
    document = json.loads((pytester.path / "reports/latest/findings.json").read_text())
    return {finding["id"]: finding["conclusion"] for finding in document["findings"]}


def judged(pytester) -> dict[str, str]:
    silent = {"not_judged", "not_comparable"}
    return {name: how for name, how in findings(pytester).items() if how not in silent}


# ------------------------------------------------------------------------------------------------ the verdict


def test_no_change_passes_and_every_wrong_answer_is_a_known_one(gated, baseline, pytester):
    result = gated(30, baseline(subject=30), "-rx")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=30 + 2, xfailed=10, skipped=NOT_JUDGED)  # accuracy, faults
    result.stdout.fnmatch_lines(["XFAIL *subject-HumanEval/39* - known: wrong_answer: *"])
    result.stdout.no_fnmatch_line("*new: *")
    assert set(judged(pytester).values()) == {"unchanged"}
    assert findings(pytester)["gate::subject::accuracy"] == "unchanged"


def test_a_regression_fails_and_names_the_problems_newly_failed(gated, baseline, pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    result = gated(25, baseline(subject=37), "-rxf", "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=25 + 1, xfailed=15, failed=1, skipped=NOT_JUDGED)
    newly = ", ".join(PROBLEMS[25:37])
    result.stdout.fnmatch_lines(
        [
            "regressed: pass@1 92.5 % → 62.5 % (-30.0 points, *: lost 12, won 0; p = *",
            f"newly failed: {newly}",
            "FAILED gate::subject::accuracy - regressed: pass@1*",
        ]
    )
    result.stdout.fnmatch_lines(["XFAIL *subject-HumanEval/30* - new: wrong_answer*"])
    case = next(
        case for case in ET.parse(pytester.path / "junit.xml").iter("testcase")
        if (case.get("classname"), case.get("name")) == ("gate.subject", "accuracy")
    )  # fmt: skip
    assert newly in case.find("failure").text
    page = (pytester.path / "reports/latest/report.html").read_text()
    assert "regressed: pass@1" in page
    assert "<summary>newly failed: 12</summary>" in page
    assert "**The gate fails** against" in (pytester.path / "step.md").read_text()
    result.stdout.fnmatch_lines(["::error title=subject accuracy%3A regressed::pass@1 92.5 %25 → 62.5 %25 *"])


def test_an_improvement_passes_and_marks_what_was_fixed(gated, baseline, pytester):
    result = gated(37, baseline(subject=25), "-v")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*subject-HumanEval/30] PASSED (fixed)*"])
    result.stdout.fnmatch_lines(["*gate::subject::accuracy IMPROVED*"])
    assert findings(pytester)["gate::subject::accuracy"] == "improved"


def test_a_small_loss_is_inconclusive_says_what_would_decide_and_fails_if_wanted(gated, baseline):
    result = gated(27, baseline(subject=30), "--llmeval-gate=inconclusive=fail")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=27 + 1, xfailed=13, failed=1, skipped=NOT_JUDGED)
    result.stdout.fnmatch_lines(["*inconclusive: *; about * samples a problem (now 1)*, would decide"])
    result.stdout.fnmatch_lines(["FAILED gate::subject::accuracy - inconclusive*"])


def test_faults_stay_errors_and_what_they_take_away_is_missed(gated, baseline, pytester):
    more = """
    [models.broken]
    model = "fake"
    engine = { fail_load = "out of patience" }
    [models.mortal]
    model = "fake"
    engine = { dies_after = 33 }
    """
    given = baseline(broken=40, mortal=40)
    result = gated(40, given, "--llmeval-models=broken,mortal", more=more, only=False)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=33 + 1, errors=40 + 7, failed=2, skipped=NOT_JUDGED)
    assert judged(pytester)["gate::broken::accuracy"] == "missing"
    assert judged(pytester)["gate::mortal::faults"] == "regressed"
    result.stdout.fnmatch_lines(["mortal accuracy: unchanged: *judged 33 of 40*"])


def test_a_model_that_is_gone_or_cannot_run_is_missing_whatever_was_selected(gated, baseline, pytester):
    more = '[models.big]\nmodel = "a/b"\nneeds = { device = "gpu", device_memory_gib = 9000 }\n'
    result = gated(40, baseline(subject=40, gone=10, big=9), "--llmeval-models=big", "-k", "big or HumanEval/3",
                   more=more)  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "FAILED gate::big::accuracy - missing: not run: needs an NVIDIA GPU*",
            "FAILED gate::gone::accuracy - missing: in the baseline, and no longer in the registry",
        ]
    )


def test_a_model_the_baseline_does_not_know_keeps_its_wrong_answers_as_failures(gated, baseline):
    result = gated(38, baseline(other=40), more='[models.other]\nmodel = "fake"\n')
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=38 + 1, failed=2, skipped=2)  # faults; both models' accuracy
    result.stdout.fnmatch_lines(["subject accuracy: not judged: new: the baseline does not have it"])
    result.stdout.fnmatch_lines(["other accuracy: not judged: deselected: no item of it ran"])


# ------------------------------------------------------------------------------------------------- selections


def test_a_users_subset_is_judged_on_what_both_runs_have(gated, baseline, pytester):
    picked = "HumanEval/3 or HumanEval/2"  # also HumanEval/20 to 39: 22 problems
    result = gated(20, baseline(subject=40), "-k", picked)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*regressed: pass@1*judged 22 of 40: lost 20, won 0; *"])


@pytest.mark.parametrize(
    "selection",
    [["-m", "coding", "-k", "subject", "-x", "test_humaneval.py"], ["--ff", "-p", "cacheprovider"]],
    ids=" ".join,
)
def test_no_selection_turns_a_regression_into_exit_0(gated, baseline, selection):
    result = gated(20, baseline(subject=40), *selection)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAILED gate::subject::accuracy - regressed*"])


def test_last_failed_subsets_are_not_judged_and_findings_are_not_remembered(gated, baseline, pytester):
    cache = pytester.path / ".pytest_cache/v/cache/lastfailed"
    cache.parent.mkdir(parents=True)
    remembered = [f"test_humaneval.py::test_functional_correctness[subject-HumanEval/{n}]" for n in range(40)]
    cache.write_text(json.dumps(dict.fromkeys(remembered[20:], True)))
    subset = gated(20, baseline(subject=40), "-p", "cacheprovider", "--lf")
    assert subset.ret == pytest.ExitCode.TESTS_FAILED  # not judged: the 20 wrong answers are failures
    subset.assert_outcomes(failed=20, passed=1, skipped=1 + NOT_JUDGED)
    subset.stdout.fnmatch_lines(
        ["subject*: not judged: accuracy*(--lf selects what failed before, a biased*"]
    )
    whole = gated(20, baseline(subject=40), "-p", "cacheprovider")
    assert whole.ret == pytest.ExitCode.TESTS_FAILED
    assert "gate::" not in cache.read_text()


def test_findings_are_told_after_a_stop(gated, baseline, pytester):
    pytester.makepyfile(test_aaa="def test_first(): assert 0")
    result = gated(20, baseline(subject=40, gone=3), "-x")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAILED test_aaa.py::test_first*", "FAILED gate::gone::accuracy - missing*"])
    result.stdout.fnmatch_lines(["FAILED gate::subject::accuracy - missing: the run ended before*"])


def test_another_folder_is_told_that_nothing_was_judged(gated, baseline, pytester):
    pytester.mkdir("other")
    (pytester.path / "other/test_other.py").write_text("def test_other(): pass")
    result = gated(20, baseline(subject=40), "other")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["subject accuracy: not judged: deselected: no item of it ran"])
    assert not (pytester.path / "reports").exists()


def test_nothing_selected_is_never_success(gated, baseline):
    assert (
        gated(20, baseline(subject=40), "-k", "nothing_like_this").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    )


def test_only_its_whole_id_removes_a_finding_and_then_wrong_answers_fail(gated, baseline, pytester):
    result = gated(20, baseline(subject=40), "--deselect", "gate::subject::accuracy")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=20 + 1, failed=20, skipped=NOT_JUDGED)
    assert "gate::subject::accuracy" not in findings(pytester)
    assert findings(pytester)["gate::subject::faults"] == "unchanged"


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("gate::subjekt::accuracy", "subject"),
        ("gate::subject::acuracy", "accuracy"),
        ("gate::subject", "no rule ''"),
        ("gate::subject::floors", "no rule 'floors'"),
        ("gate::subject::energy[humaneval]", "no rule 'energy[[]humaneval]'"),
    ],
)
def test_a_deselected_finding_that_cannot_be_is_a_usage_error(gated, baseline, entry, meant):
    result = gated(40, baseline(subject=40), "--deselect", entry)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--deselect {glob.escape(entry)}: *{meant}*"])


def test_under_workers_the_controller_tells_the_findings(gated, baseline, pytester):
    pytest.importorskip("xdist")
    result = gated(20, baseline(subject=40, gone=1), "-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR  # models are refused there
    result.stdout.fnmatch_lines(["FAILED gate::gone::accuracy - missing*"])


def test_the_gate_does_without_pytests_own_plugins(gated, baseline):
    result = gated(40, baseline(subject=40), "-p", "no:setuponly", "-p", "no:setupplan", "-p", "no:stepwise")
    assert result.ret == pytest.ExitCode.OK


def test_collecting_judges_nothing(gated, baseline):
    result = gated(20, baseline(subject=40), "--collect-only", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*gate*")


# ------------------------------------------------------------------------------------- rules without a baseline


def test_one_entry_is_judged_against_another_of_the_same_run(gated, pytester):
    more = """
    [models.subject_awq]
    extends = "subject"
    engine = { solves = 20 }
    [gate.compare]
    subject_awq = "subject"
    """
    result = gated(38, "--llmeval-models=subject_awq", more=more)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["changed in subject_awq: engine.solves: 38 → 20"])
    assert judged(pytester)["gate::subject_awq::accuracy"] == "regressed"
    assert "gate::subject::accuracy" not in findings(pytester)
    result.stdout.fnmatch_lines(["FAILED *subject-HumanEval/38*"])  # nothing judges this model
    result.stdout.no_fnmatch_line("FAILED *subject_awq-HumanEval*")


def test_floors_decide_without_a_baseline(gated, pytester):
    more = '[gate]\nfaults = false\nfloors = ["pass@1 >= 0.60"]\n'
    result = gated(30, "--llmeval-gate=lower95(pass@1) >= 0.70", "--tb=line", more=more)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*= FAILURES =*", *2 * ["regressed: lower*"]], consecutive=True)
    assert findings(pytester) == {
        "gate::subject::pass@1>=0.6": "unchanged",
        "gate::subject::lower95(pass@1)>=0.7": "regressed",
    }
    result.assert_outcomes(passed=30 + 1, xfailed=10, failed=1)


def test_rules_that_ask_nothing_of_this_run_leave_it_as_it_is(gated):
    result = gated(
        38, "--llmeval-gate=off", more='[gate]\naccuracy = { margin = 4 }\nfloors = ["pass@1 >= 1"]\n'
    )
    result.assert_outcomes(passed=38, failed=2)
    result.stdout.no_fnmatch_line("*= gate =*")


def test_mistakes_in_rules_and_baselines_are_usage_errors(gated, pytester):
    result = gated(40, "--llmeval-gate=acuracy=false", "--llmeval-gate=alpha=3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*2 mistakes:*", "*gate.acuracy: unknown key; did you mean 'accuracy'?"])
    for name, text, says in (
        ("no.json", None, "does not exist"),
        ("bad.json", "{}", "no baseline of this version"),
        ("results.jsonl", "", "holds no model"),
    ):
        if text is not None:
            (pytester.path / name).write_text(text)
        result = gated(40, f"--llmeval-baseline={name}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{name}*{says}*"])
