"""A project adds an engine and a problem set of its own in its conftest.py."""

from __future__ import annotations

import pytest

CONFTEST = """
def pytest_llmeval_engines():
    return {"parrot": "parrot:Parrot"}

def pytest_llmeval_problem_sets():
    return {"sums": "sums:load"}
"""
PARROT = """
from concurrent.futures import Future
from pytest_llmeval.engines import EngineInfo, EngineStatus
from pytest_llmeval.schema import Completion

class Parrot:
    is_preparing = False
    status = EngineStatus()
    def __init__(self, spec, context): pass
    def load(self, progress): return EngineInfo()
    def submit(self, request):
        future = Future()
        future.set_result(Completion("    return a + b\\n", "stop"))
        return future
    def reset_cache(self): pass
    def close(self): pass
"""
SUMS = """
from pytest_llmeval.problems import ProblemSet
from pytest_llmeval.schema import Problem

def problem(name, expected):
    return Problem("sums", f"sums/{name}", f"def {name}(a, b):\\n", name,
                   f"def check(candidate):\\n    assert candidate(3, 2) == {expected}\\n", "")

def load():
    return ProblemSet("sums", (problem("add", 5), problem("sub", 1)))
"""
SUITE = """
import pytest
@pytest.mark.problems("sums")
def test_sums(record):
    assert record.passed, record.explain()
"""


@pytest.fixture
def extended(project, pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(parrot=PARROT, sums=SUMS, test_sums=SUITE)
    pytester.syspathinsert()
    return project


ENTRY = '[models.polly]\nmodel = "none"\nkind = "parrot"\ncategories = ["coding"]\n'


def test_its_names_work_like_ours(extended):
    result = extended("test_sums.py", "--llmeval-models=polly", registry=ENTRY)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*assert candidate(3, 2) == 1: got 5*"])


def test_a_set_is_chosen_by_its_own_marker_and_not_by_category(extended):
    by_marker = extended("-m", "sums", "--collect-only", "-q", "--llmeval-models=polly", registry=ENTRY)
    by_marker.stdout.fnmatch_lines(["*test_sums[[]polly-sums/add[]]", "2/166 tests collected*"])
    extended("test_sums.py", "-m", "coding", registry=ENTRY).assert_outcomes(deselected=6)


def test_an_unknown_kind_is_a_usage_error_with_a_suggestion(project):
    result = project(registry='[models.polly]\nmodel = "none"\nkind = "vlm"\n')
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*models.polly.kind: unknown engine 'vlm'; did you mean 'vllm'[?]*"])


def test_a_conftest_that_is_read_too_late_is_pointed_at(project, pytester):
    below = pytester.mkdir("suites")
    (below / "conftest.py").write_text(
        'def pytest_llmeval_engines():\n    return {"mine": "pytest_llmeval.testing:FakeEngine"}\n'
    )
    entry = '[models.own]\nmodel = "x"\nkind = "mine"\n'
    result = project("--collect-only", registry=entry)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*unknown engine 'mine'*conftest.py count where it lies at the project's top*"]
    )
    assert project("--collect-only", "-q", "suites", registry=entry).ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_name_that_is_taken_is_an_error(project, pytester):
    pytester.makeconftest('def pytest_llmeval_engines():\n    return {"vllm": "mine:Engine"}\n')
    result = project("--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*the name 'vllm' is claimed twice*"])


def test_a_module_that_is_not_there_is_named(project):
    result = project(
        "--llmeval-limit=1", "--llmeval-models=polly", registry=ENTRY.replace("parrot", "gone:Engine")
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*needs the package 'gone', which is not installed*"])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            'ProblemSet("sums", (problem("add", 5),) * 2)',
            "the problem set 'sums' has two problems 'sums/add'",
        ),
        ('ProblemSet("other", (problem("add", 5),))', "the problem set 'sums' calls itself 'other'"),
        ("None", "the problem set 'sums' must be a ProblemSet, but sums:load returned NoneType"),
    ],
)
def test_a_set_that_is_not_what_it_should_be_is_named(extended, pytester, made, said):
    pytester.makepyfile(sums=SUMS.partition("def load")[0] + f"def load():\n    return {made}\n")
    result = extended("test_sums.py", "--llmeval-models=polly", registry=ENTRY)
    result.stdout.fnmatch_lines([f"*{said}*"])
    result.assert_outcomes(errors=1)


def test_a_module_that_fails_while_it_is_imported_says_so_itself(extended, pytester):
    """Its own mistake must not read as a name that is missing from it."""
    pytester.makepyfile(sums="import math\nmath.no_such_thing\n")
    result = extended("test_sums.py", "--llmeval-models=polly", registry=ENTRY)
    result.stdout.fnmatch_lines(["*no_such_thing*"])
    result.stdout.no_fnmatch_line("*sums has no 'load'*")
