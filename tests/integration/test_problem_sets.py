"""Problem sets beside HumanEval: files on the command line, sets that are missing, samples for several sets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/problems"))

from published import DOUBLE, ROOT, SANITIZED, SIMILAR, written  # noqa: E402  # beside the tests of the sets

SUITES = ("test_humanevalplus", "test_mbpp", "test_mbppplus")


@pytest.fixture
def sets(project, pytester, monkeypatch):
    """The project with our suites for all sets, and an empty cache."""
    monkeypatch.setenv("PYTEST_LLMEVAL_CACHE", str(pytester.path / "cache"))
    for name in SUITES:
        (pytester.path / f"{name}.py").write_text((REPOSITORY / f"suites/coding/{name}.py").read_text())
    return project


@pytest.fixture
def files(pytester) -> list[str]:
    """Options that name data for two of the three sets."""
    plus = written(pytester.path / "HumanEvalPlus.jsonl", DOUBLE, ROOT)
    mbpp = written(pytester.path / "mbpp.jsonl", SANITIZED)
    return [f"--llmeval-problems=humanevalplus={plus}", f"--llmeval-problems=mbpp={mbpp}"]


def canonical(row: dict) -> dict:
    task_id = row["task_id"] if isinstance(row["task_id"], str) else f"Mbpp/{row['task_id']}"
    return {"task_id": task_id, "solution": row.get("code") or row["prompt"] + row["canonical_solution"]}


# ------------------------------------------------------------------------------------------ missing sets


def test_a_missing_set_is_one_skipped_item_that_says_how_to_get_it(sets):
    result = sets("-rs", "-m", "mbpp or mbppplus")
    result.assert_outcomes(skipped=2, deselected=2 * 164 + 1)
    result.stdout.fnmatch_lines(
        ["*mbpp is not on this machine*python -m pytest_llmeval fetch mbpp*--llmeval-problems mbpp=FILE*"]
    )


def test_a_missing_set_is_an_error_where_everything_must_run(sets):
    result = sets("-m", "mbpp", "--llmeval-strict")
    result.assert_outcomes(errors=1, deselected=2 * 164 + 2)
    result.stdout.fnmatch_lines(["*fetch mbpp*(--llmeval-strict)*"])


def test_coding_is_humaneval_alone_and_reads_no_other_set(sets, files, pytester):
    (pytester.path / "HumanEvalPlus.jsonl").write_text('{"task_id": "HumanEval/0", broken')
    result = sets("-m", "coding", "--collect-only", "-q", *files)
    result.stdout.fnmatch_lines(["328/* tests collected (* deselected)*"])
    result.stdout.no_fnmatch_line("*test_mbpp*")


# -------------------------------------------------------------------------------------- data from a file


def test_sets_run_on_data_that_is_named_and_their_items_have_stable_ids(sets, files):
    result = sets("--collect-only", "-q", "-m", "humanevalplus or mbpp", "--llmeval-models=good", *files)
    result.stdout.fnmatch_lines(
        [
            "test_humanevalplus.py::test_functional_correctness[[]good-HumanEval/0]",
            "test_humanevalplus.py::test_functional_correctness[[]good-HumanEval/32]",
            "test_mbpp.py::test_functional_correctness[[]good-Mbpp/56]",
        ]
    )


def test_data_can_be_named_in_the_ini_file(sets, pytester):
    written(pytester.path / "data.jsonl", SANITIZED)
    with (pytester.path / "pytest.ini").open("a") as ini:
        ini.write("\nllmeval_problem_files =\n    mbpp=data.jsonl\n")
    result = sets("--collect-only", "-q", "-m", "mbpp", "--llmeval-models=good")
    result.stdout.fnmatch_lines(["*[[]good-Mbpp/56]"])


def test_solutions_of_several_sets_are_judged_by_each_sets_own_rules(sets, files, pytester):
    weak = {"task_id": "HumanEval/0", "solution": "def double(x):\n    return 2 * x if x < 9 else 0\n"}
    samples = written(
        pytester.path / "mine.jsonl", canonical(ROOT), canonical(SANITIZED), weak, canonical(DOUBLE)
    )
    selected = "humanevalplus or mbpp or mbppplus"
    result = sets(f"--llmeval-samples={samples}", "-m", selected, "-rs", "-v", *files)
    result.assert_outcomes(passed=3, skipped=1, deselected=2)
    result.stdout.fnmatch_lines(["*mbppplus is not on this machine*"])
    judged = pytester.path / "reports/latest/mine_humanevalplus_results.jsonl"
    rows = [json.loads(line) for line in judged.read_text().splitlines()]
    assert [(row["task_id"], row["passed"]) for row in rows] == [
        ("HumanEval/32", True),
        ("HumanEval/0", False),
        ("HumanEval/0", True),
    ]
    assert "expected 18" in rows[1]["result"]
    assert (pytester.path / "reports/latest/mine_mbpp_results.jsonl").read_text().count('"passed": true') == 1
    assert list((pytester.path / "cache/answers").iterdir())


def test_samples_of_another_set_leave_a_set_without_items(sets, files, pytester):
    samples = written(pytester.path / "mine.jsonl", canonical(SANITIZED))
    result = sets(f"--llmeval-samples={samples}", "-m", "humanevalplus", "-rs", *files)
    result.assert_outcomes(skipped=1, deselected=3)
    result.stdout.fnmatch_lines(["*mine.jsonl answers no task of humanevalplus*"])


def test_a_mistake_in_published_data_is_an_error_of_its_suite_that_names_line_and_field(sets, pytester):
    broken = {**SIMILAR, "base_input": 3}
    file = written(pytester.path / "m.jsonl", broken)
    result = sets("-m", "mbppplus", f"--llmeval-problems=mbppplus={file}", "--llmeval-models=good")
    assert result.ret != 0
    said = result.stdout.str() + result.stderr.str()
    assert "m.jsonl, line 1: base_input must be a list of argument lists, found 3" in said
    assert "INTERNALERROR" not in said


# ------------------------------------------------------------------------------------------ one's own set

TWICE = {
    "task_id": "mine/twice",
    "prompt": "def twice(x):\n",
    "entry_point": "twice",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "canonical_solution": "    return 2 * x\n",
}


def own(pytester, *rows: dict, name: str = "my-problems.v2.jsonl") -> str:
    return f"--llmeval-problems={written(pytester.path / name, *rows)}"


def test_a_file_of_ones_own_comes_with_its_suite_and_its_marker(project, pytester):
    thrice = {**TWICE, "task_id": "mine/2", "test": "def check(candidate):\n    assert candidate(2) == 6\n"}
    samples = written(
        pytester.path / "s.jsonl",
        {"task_id": "mine/twice", "completion": "    return 2 * x\n"},
        {"task_id": "mine/2", "completion": "    return 2 * x\n"},
    )
    result = project(own(pytester, TWICE, thrice), f"--llmeval-samples={samples}", "-m", "my_problems", "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["my-problems.v2.jsonl::test_functional_correctness[[]samples-mine/twice[]] PASSED*"]
    )
    assert (pytester.path / "reports/latest/predictions/samples/my_problems/mine%2Ftwice.json").exists()


def test_beside_a_suite_that_is_named_ones_own_is_collected_too(project, pytester):
    result = project(
        "test_humaneval.py", own(pytester, TWICE), "--collect-only", "-q", "--llmeval-models=good"
    )
    result.stdout.fnmatch_lines(
        ["*HumanEval/163]", "my-problems.v2.jsonl::*[[]good-mine/twice]", "165 tests*"]
    )


def test_one_item_of_ones_own_is_chosen_by_its_node_id(project, pytester):
    other = {**TWICE, "task_id": "mine/other"}
    node = "my-problems.v2.jsonl::test_functional_correctness[good-mine/twice]"
    result = project(own(pytester, TWICE, other), node, "--collect-only", "-q", "--llmeval-models=good")
    result.stdout.fnmatch_lines(["*[[]good-mine/twice]", "1 test collected*"])


def test_every_mistake_of_ones_own_file_is_named_with_line_and_field(project, pytester):
    rows = [
        {**TWICE, "task_id": 7, "test": "def check(candidate:\n"},
        {"task_id": "b", "prompt": 3, "entry_piont": "f", "test": "x = 1"},
        {**TWICE, "entry_point": "not a name", "channel": "out", "test": "assert True"},
    ]
    result = project(own(pytester, *rows))
    assert result.ret != 0
    said = result.stdout.str()
    for mistake in (
        "line 1: test is not Python:",
        "line 2: prompt must be a text, found 3",
        "line 2: entry_point is missing; did you mean 'entry_piont'?",
        "line 3: channel must be one of split, inline, found 'out'",
    ):
        assert mistake in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gone.jsonl", "*gone.jsonl does not exist*"),
        ("xfail=mine.jsonl", "*'xfail' cannot name a problem set; give it another*"),
        ("1.jsonl", "*'1' cannot name a problem set; give it another: NAME=1.jsonl*"),
        (
            "MBPP.jsonl",
            "*its name is that of the problem set mbpp. Write mbpp=*MBPP.jsonl to read it as that set*",
        ),
    ],
)
def test_a_file_that_cannot_be_a_set_is_a_usage_error(project, pytester, given, message):
    for name in ("mine.jsonl", "1.jsonl", "MBPP.jsonl"):
        written(pytester.path / name, TWICE)
    result = project(f"--llmeval-problems={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_two_files_for_one_set_are_a_usage_error(project, pytester):
    result = project(
        own(pytester, TWICE, name="a.jsonl"), f"--llmeval-problems=a={own(pytester, TWICE)[19:]}"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*are both for a*"])
