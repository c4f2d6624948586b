"""The files of a run, and the runs that leave none."""

from __future__ import annotations

import html
import json
import re
import sys

import pytest


def test_a_run_leaves_records_predictions_summary_manifest_and_page(project, pytester, records):
    project("--llmeval-limit=2", "--llmeval-wrong=xfail")
    run = pytester.path / "reports/latest"
    found = {(record.model, record.task_id) for record in records()}
    assert found == {(m, t) for m in ("good", "weak") for t in ("HumanEval/0", "HumanEval/1")}
    prediction = json.loads((run / "predictions/good/humaneval/HumanEval%2F1.json").read_text())
    assert prediction["samples"][0]["verdict"]["outcome"] == "passed"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["models"]["weak"]["problem_sets"]["humaneval"]["pass_at_1"] == 1.0
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["versions"]["pytest"]
    assert manifest["models"]["good"]["categories"] == ["coding"]
    page = (run / "report.html").read_text()
    assert "Leaderboard" in page
    assert "separate_paren_groups" in page
    assert (run / "report.md").read_text().startswith("# Model evaluation")


def test_reports_are_made_anew_from_the_records_alone(project, pytester):
    project("--llmeval-limit=4", "--llmeval-probe=off")
    run = pytester.path / "reports/latest"
    before = {name: (run / name).read_text() for name in ("report.md", "summary.json")}
    old_page = (run / "report.html").read_text()
    for name in (*before, "report.html"):
        (run / name).unlink()
    pytester.makeconftest("raise SystemExit('this is about tests, not about reports')")
    result = pytester.run(sys.executable, "-m", "pytest_llmeval", "report", str(run), "--summary=mine.md")
    assert result.ret == 0, result.stderr.str()
    assert {name: (run / name).read_text() for name in before} == before
    ours = re.compile("(?s)<div class=llmeval>.*?<script>")
    assert ours.search((run / "report.html").read_text())[0] == ours.search(old_page)[0]
    assert "| `weak` | complete |" in (pytester.path / "mine.md").read_text()


def test_a_jobs_summary_is_written_where_it_is_wanted(project, pytester):
    project("--llmeval-limit=1", "--llmeval-summary=mine.md")
    assert "| `good` | complete |" in (pytester.path / "mine.md").read_text()
    lost = project("--llmeval-limit=1", "--llmeval-summary=no/such/folder.md")
    lost.stdout.fnmatch_lines(["*leaderboard*", "*ERROR: *no/such/folder.md cannot be written: *"])
    assert lost.ret == pytest.ExitCode.INTERNAL_ERROR


def test_the_users_own_html_path_wins(project, pytester):
    project("--llmeval-limit=1", "--llmeval-models=good", "--html=mine.html")
    assert "Leaderboard" in (pytester.path / "mine.html").read_text()
    assert not (pytester.path / "reports/latest/report.html").exists()


@pytest.mark.parametrize(
    "arguments", [["--collect-only", "-q"], ["test_other.py"], ["-k", "nothing_like_it"]]
)
def test_where_no_item_of_ours_runs_no_file_appears(project, pytester, arguments):
    pytester.makepyfile(test_other="def test_other(): pass")
    result = project(*arguments)
    assert not (pytester.path / "reports").exists()
    result.stdout.no_fnmatch_line("*leaderboard*")
    result.stdout.no_fnmatch_line("*html report*")


@pytest.mark.parametrize("shown", ["--markers", "--fixtures", "--fixtures-per-test", "--setup-plan"])
def test_what_pytest_only_shows_starts_nothing_and_leaves_nothing(project, pytester, shown):
    result = project(shown, "--llmeval-limit=1")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*sandbox: level*")
    result.stdout.no_fnmatch_line("*leaderboard*")
    assert not (pytester.path / "reports").exists()


def test_after_a_collection_error_nothing_starts_and_the_newest_run_stays_the_newest(project, pytester):
    pytester.makepyfile(test_broken="def broken(:")
    result = project("--llmeval-limit=1")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*sandbox: level*")
    assert not (pytester.path / "reports").exists()


def test_a_folder_of_the_users_own_named_latest_is_left_alone(project, pytester):
    (pytester.path / "reports/latest").mkdir(parents=True)
    assert project("--llmeval-limit=1", "--llmeval-models=good").ret == 0
    assert sorted(path.name[:2] for path in (pytester.path / "reports").iterdir()) == ["20", "la"]


def test_help_is_there_where_the_registry_holds_mistakes_and_leaves_nothing(project, pytester):
    result = project("--help", registry="[models.good]\n")
    assert result.ret == 0
    assert not (pytester.path / "reports").exists()
    result.stdout.fnmatch_lines(["*--llmeval-models=GLOB*"])


def test_two_runs_in_one_second_have_two_folders(project, pytester):
    from pytest_llmeval.store import create_run_folder

    folders = {create_run_folder(pytester.path / "reports", "20260101_000000") for _ in range(3)}
    assert {f.name for f in folders} == {"20260101_000000", "20260101_000000-2", "20260101_000000-3"}


@pytest.mark.parametrize("page", [[], ["-p", "no:html"]], ids=["page", "no page"])
def test_a_reports_folder_that_cannot_be_written_is_one_clear_error(project, pytester, page):
    (pytester.path / "taken").write_text("a file")
    result = project("--llmeval-limit=1", "--llmeval-reports=taken/reports", *page)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*taken/reports cannot be written: *"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_hostile_text_is_escaped_in_page_and_terminal(project, pytester):
    evil = "<script>alert(1)</script>\\x1b[31m\\u202e\\ud800"
    pytester.makepyfile(
        evil_engine=f"""
        from dataclasses import replace
        from pytest_llmeval.testing import FakeEngine
        class Evil(FakeEngine):
            def _completion(self, request):
                body = '    raise ValueError("{evil}")\\n'
                return replace(super()._completion(request), text=body)
        """
    )
    pytester.syspathinsert()
    registry = '[models.evil]\nmodel = "fake"\nkind = "evil_engine:Evil"\n'
    result = project("--llmeval-limit=1", "--llmeval-models=evil", registry=registry)
    result.assert_outcomes(failed=1)
    page = (pytester.path / "reports/latest/report.html").read_text()
    assert "<script>alert(1)" not in page
    assert "\x1b" not in result.stdout.str()
    assert "\u202e" not in page


def test_the_page_tells_what_went_wrong_beside_the_models_answer(project, pytester):
    """In a fixture, or in an assertion of the test's own; a wrong answer is told once, by us."""
    suite = """
        import pytest

        @pytest.fixture
        def measured(record):
            raise RuntimeError("no <meter> here")

        @pytest.mark.problems("humaneval")
        def test_meter(record, measured):
            pass

        @pytest.mark.problems("humaneval")
        def test_length(record):
            assert len(record.samples) == 77, "a <count> of our own"

        @pytest.mark.problems("humaneval")
        def test_right(record):
            assert record.passed, record.explain()
    """
    pytester.makepyfile(test_three=suite)
    project("test_three.py", "--llmeval-models=weak", "-k", "HumanEval/2")
    rows = rows_of((pytester.path / "reports/latest/report.html").read_text())
    assert rows["test_meter", "Error"].count("RuntimeError: no &lt;meter&gt; here") >= 1
    assert "a &lt;count&gt; of our own" in rows["test_length", "Failed"]
    assert "AssertionError" not in rows["test_right", "Failed"]
    for row in rows.values():
        assert "all about it" in row


def rows_of(page: str) -> dict[tuple[str, str], str]:
    """(test function, result) → what its row unfolds, in pytest-html's table."""
    blob = re.search(r'data-jsonblob="([^"]*)"', page)
    tests = json.loads(html.unescape(blob[1]))["tests"]
    return {
        (re.search(r"::(\w+)\[", name)[1], report["result"]): report["log"]
        for name, reports in tests.items()
        for report in reports
    }
