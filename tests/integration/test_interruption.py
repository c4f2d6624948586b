"""Ctrl-C keeps what had arrived: it is judged, stored and reported."""

from __future__ import annotations

import json

import pytest

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
