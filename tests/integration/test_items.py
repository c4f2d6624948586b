"""Which items exist, what they are called, and how they are chosen."""

from __future__ import annotations

import re

import pytest


def collected(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line and not line.startswith(("ERROR", "FAILED"))]


def test_every_model_meets_every_problem_under_a_readable_id(project):
    ids = collected(project("--collect-only", "-q"))
    assert len(ids) == 2 * 164
    assert ids[0] == "test_humaneval.py::test_functional_correctness[good-HumanEval/0]"
    assert ids[-1] == "test_humaneval.py::test_functional_correctness[weak-HumanEval/163]"


@pytest.mark.parametrize(
    ("arguments", "models"),
    [
        (["-m", "coding"], {"good", "weak"}),
        (["-m", "small"], {"weak"}),
        (["-m", "humaneval and not small"], {"good"}),
        (["--deselect", "weak"], {"good"}),
        (["--deselect=weak"], {"good"}),
        (["-k", "weak"], {"weak"}),
        (["--llmeval-models", "g*"], {"good"}),
        (["--llmeval-models", "good,weak"], {"good", "weak"}),
        (["--llmeval-exclude-models", "w?ak"], {"good"}),
        (["test_humaneval.py::test_functional_correctness[weak-HumanEval/7]"], {"weak"}),
    ],
)
def test_models_are_chosen_by_marker_name_keyword_or_glob(project, arguments, models):
    ids = collected(project("--collect-only", "-q", *arguments))
    assert {re.search(r"\[(\w+)-", line)[1] for line in ids} == models


def test_a_deselected_model_is_counted_as_deselected(project):
    project("--collect-only", "-q", "--deselect", "weak").stdout.fnmatch_lines(["164/328 tests collected*"])


def test_a_misspelt_model_is_an_error_that_suggests_the_right_one(project):
    result = project("--deselect", "waek")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--deselect waek: no such model; did you mean 'weak'[?]"])


def test_deselecting_by_node_id_works_as_in_pytest(project):
    prefix = "test_humaneval.py::test_functional_correctness[weak-"
    assert len(collected(project("--collect-only", "-q", "--deselect", prefix))) == 164


def test_a_glob_that_matches_nothing_is_an_error(project):
    result = project("--llmeval-models", "goood")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no model matches 'goood'; did you mean 'good'[?]*"])


def test_limit_takes_the_first_problems(project):
    ids = collected(project("--collect-only", "-q", "--llmeval-limit=3", "--llmeval-models=good"))
    assert [line.split("/")[1] for line in ids] == ["0]", "1]", "2]"]


def test_sample_is_drawn_by_seed_and_is_the_same_for_every_model(project):
    def drawn(seed: str) -> list[str]:
        ids = collected(project("--collect-only", "-q", "--llmeval-sample=5", "--llmeval-seed", seed))
        return [line.split("-")[1] for line in ids]

    first = drawn("1")
    assert len(first) == 10
    assert first[:5] == first[5:]
    assert drawn("1") == first
    assert drawn("2") != first


def test_limit_and_sample_together_are_refused(project):
    result = project("--llmeval-limit=3", "--llmeval-sample=3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_suite_without_a_problem_set_is_told_what_to_write(project, pytester):
    pytester.makepyfile(test_humaneval="def test_it(record): pass")
    result = project()
    result.stdout.fnmatch_lines(['*mark it, for example @pytest.mark.problems("humaneval")*'])


def test_a_projects_own_fixture_of_the_same_name_is_left_alone(project, pytester):
    pytester.makepyfile(
        test_humaneval="""
        import pytest
        @pytest.fixture
        def engine():
            return "mine"
        def test_it(engine):
            assert engine == "mine"
        """
    )
    project().assert_outcomes(passed=1)


def test_a_projects_own_parameter_of_the_same_name_is_left_alone(project, pytester):
    pytester.makepyfile(
        test_humaneval="""
        import pytest
        @pytest.mark.parametrize("engine", ["v8", [], 3])
        def test_it(engine):
            assert engine != "good"
        """
    )
    project().assert_outcomes(passed=3)


def test_a_projects_fixture_that_stands_on_ours_gets_what_ours_would(project, pytester):
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def engine(engine):
            return engine

        @pytest.fixture
        def problem(problem):
            return problem

        @pytest.fixture
        def record(record):
            return record
        """
    )
    project("--llmeval-limit=2", "--llmeval-models=good").assert_outcomes(passed=2)


def test_a_fixture_that_was_asked_for_too_late_says_so(project, pytester):
    pytester.makepyfile(test_humaneval='def test_it(request):\n    request.getfixturevalue("record")\n')
    result = project()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*engine has no value here: *request.getfixturevalue*"])


def test_a_test_that_gives_our_fixtures_values_is_told_how_to_choose(project, pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize(("extra", "engine"), [(1, "good")], indirect=["engine"])
        def test_only_good(extra, engine):
            pass
        """
    )
    result = project("--collect-only", "-q")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*test_only_good parametrizes engine, which this plugin gives its values*"])


def test_an_unknown_problem_set_is_named(project, pytester):
    pytester.makepyfile(
        test_humaneval='import pytest\n@pytest.mark.problems("humanevil")\ndef test_it(record): pass'
    )
    project().stdout.fnmatch_lines(["*unknown problem set 'humanevil'; did you mean 'humaneval'[?]*"])
