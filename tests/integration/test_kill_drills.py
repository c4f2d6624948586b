"""kill -9 of pytest at any moment: nobody survives it, only what was in flight is lost, and resuming ends as if
nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pytest_llmeval.schema import Record
from pytest_llmeval.store import read_generations, read_records

PROBLEMS = 6
PATIENCE_S = 120.0  # on a loaded machine; nothing here waits that long otherwise

DRILLED = """
import threading, time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from pytest_llmeval.testing import FakeEngine

def drill(moment):
    return Path("drill").exists() and Path("drill").read_text() == moment

class Drilled(FakeEngine):
    '''Stops for ever at the moment that the file `drill` names.'''
    asked = 0

    def load(self, progress):
        Path("loading").touch()
        while drill("loading"):
            time.sleep(0.05)
        return super().load(progress)

    def submit(self, request):
        self.asked += 1
        with open("asked", "a") as asked:
            asked.write(request.request_id + "\\n")
        return self.never() if drill("generating") and self.asked > 3 else super().submit(request)

    def never(self):
        future = Future()
        future.add_done_callback(self.note_end)
        return future

    def note_end(self, future):
        with open("cancelled", "a") as file:
            file.write("x" if future.cancelled() else "-")

    def _completion(self, request):
        completion = super()._completion(request)
        slow = "    import time; time.sleep(0.3)\\n" if drill("judging") else "    import time\\n"
        return replace(completion, text=slow + completion.text)
"""
# What a kill in the middle of a write leaves: half a line, and no chance to clean up.
DIES_WRITING = """
import os, signal
from pathlib import Path
from pytest_llmeval.store.lines import Lines

def pytest_configure():
    if not Path("drill").exists() or Path("drill").read_text() != "writing":
        return
    whole, written = Lines._write, []

    def half(self, line):
        written.append(line)
        if len(written) < 9:
            return whole(self, line)
        os.pwrite(self._fd, line[: len(line) // 2], self._end)
        os.kill(os.getpid(), signal.SIGKILL)

    Lines._write = half
"""
ENTRY = '[models.drilled]\nmodel = "fake"\nkind = "drilled:Drilled"\nengine = { solves = 4 }\n'
ARGUMENTS = (
    *(
        f"--llmeval-limit={PROBLEMS}",
        "--llmeval-models=drilled",
        "--llmeval-probe=off",
        "--llmeval-wrong=xfail",
    ),
    *("--llmeval-scoring=after", "--llmeval-sandbox-workers=1", "-p", "no:cacheprovider"),
)


class Drill:
    """A project to be killed at a moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *arguments: str, moment: str = "") -> subprocess.Popen[bytes]:
        (self.folder / "drill").write_text(moment)
        (self.folder / "asked").write_text("")
        command = [sys.executable, "-m", "pytest", *ARGUMENTS, *arguments]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)

    def finish(self, *arguments: str) -> dict[str, Record]:
        """A run that nobody kills; its Records."""
        assert self.start(*arguments).wait(PATIENCE_S) == pytest.ExitCode.OK
        return {record.task_id: record for record in read_records(self.latest / "results.jsonl")}

    @property
    def latest(self) -> Path:
        return (self.folder / "reports/latest").resolve()

    @property
    def asked(self) -> int:
        return len((self.folder / "asked").read_text().split())

    def lines(self, name: str) -> int:
        path = self.folder / "reports/latest" / name
        return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture
def drill(project, pytester) -> Drill:
    pytester.makepyfile(drilled=DRILLED)
    pytester.makeconftest(DIES_WRITING)
    project("--collect-only", "-q", registry=ENTRY)  # writes the project
    return Drill(pytester.path)


def until(happened: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None, "pytest ended before"
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    return not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def told(records: dict[str, Record]) -> dict[str, tuple[str, str]]:
    return {
        task: (record.samples[0].completion.text.split("\n", 1)[1], record.samples[0].verdict.outcome)
        for task, record in records.items()
    }


MOMENTS: dict[str, Callable[[Drill], object]] = {
    "loading": lambda drill: (drill.folder / "loading").exists(),
    "generating": lambda drill: drill.lines("generations.jsonl") == 3,
    "judging": lambda drill: drill.lines("results.jsonl") >= 1,
}
KEPT = {"loading": 0, "generating": 3, "judging": PROBLEMS, "writing": PROBLEMS}


@pytest.mark.parametrize("moment", KEPT)
def test_after_a_kill_nobody_is_left_and_resuming_ends_as_if_nothing_had_happened(drill, moment):
    process = drill.start(moment=moment)
    if moment in MOMENTS:
        until(lambda: MOMENTS[moment](drill), process)
        children = family(process)
        assert children, "the sandbox works"
        process.kill()
        assert all_gone(children)
    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    killed = drill.latest
    assert len(list(read_generations(killed / "generations.jsonl"))) == KEPT[moment]
    judged = list(read_records(killed / "results.jsonl"))
    if moment == "writing":
        assert not (killed / "results.jsonl").read_bytes().endswith(b"\n")
        assert len(judged) == 2
    resumed = drill.finish("--llmeval-resume")
    assert drill.asked == PROBLEMS - KEPT[moment]
    assert told(resumed) == told(drill.finish())
    assert drill.asked == PROBLEMS


@pytest.mark.parametrize("option", ["-x", "--maxfail=2"])
def test_a_stop_at_failures_cancels_the_rest_and_keeps_what_came(drill, option):
    registry = drill.folder / "models.toml"
    solved = 3 - int(option[-1]) if option[-1].isdigit() else 2
    registry.write_text(registry.read_text().replace("solves = 4", f"solves = {solved}"))
    process = drill.start(option, "--llmeval-scoring=overlap", "--llmeval-wrong=fail", moment="generating")
    until(lambda: drill.lines("generations.jsonl") == 3, process)
    children = family(process)
    assert process.wait(PATIENCE_S) == pytest.ExitCode.TESTS_FAILED
    assert all_gone(children)
    assert drill.lines("results.jsonl") == 3
    assert (drill.folder / "cancelled").read_text() == "xxx"
    assert (drill.latest / "report.html").exists()
