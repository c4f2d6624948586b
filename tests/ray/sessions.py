"""Sessions of pytest with `--llmeval-ray`, what they start, and what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.store import read_records

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 300.0  # on a loaded machine; nothing here waits that long otherwise
SLOW = "\nimport time\ntime.sleep(0.3)\n"  # once for each program, and never near a limit


def write_samples(path: Path, problems: int) -> Path:
    """Right and wrong answers, and some that take their time, so that a run can be met in its middle."""
    rows = []
    for index, problem in enumerate(load_problem_set("humaneval").problems[:problems]):
        body = problem.canonical_solution if index % 3 else "    return None\n"
        rows.append({"task_id": problem.task_id, "completion": body + SLOW if index % 4 == 0 else body})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def started(reports: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A session under way; wrong answers are expected."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites/coding/test_humaneval.py"]
    return subprocess.Popen(
        [
            *command,
            f"--llmeval-reports={reports}",
            "--llmeval-wrong=xfail",
            "--llmeval-probe=off",
            *arguments,
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def finished(process: subprocess.Popen[str]) -> str:
    """What a session said that ended well, without its line breaks."""
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == pytest.ExitCode.OK, output
    return " ".join(output.split())


def verdicts(reports: Path) -> dict[tuple[str, str], list[str]]:
    """What each item came to; an item with two Records is no result."""
    records = list(read_records(reports / "latest/results.jsonl"))
    found = {(r.model, r.task_id): [str(s.verdict.outcome) for s in r.samples] for r in records}
    assert len(found) == len(records)
    return found


def manifest(reports: Path) -> dict:
    return json.loads((reports / "latest/manifest.json").read_text())


def judged(reports: Path) -> int:
    """How many Records a session has written so far."""
    path = reports / "latest/results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None, f"pytest ended before: {process.communicate()[0]}"
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def actors(kind: str, above: int) -> list[psutil.Process]:
    """Processes that hold an actor of this class, below a process."""
    return [process for process in family(above) if title(process) == f"ray::{kind}"]


def family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def title(process: psutil.Process) -> str:
    """`ray::ScoringActor`, or `ray::ScoringActor.judge` while it works."""
    with contextlib.suppress(psutil.Error, IndexError):
        return process.cmdline()[0].partition(".")[0]
    return ""


def survivors(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Which of them are still alive when they have had their time to go."""
    _, alive = psutil.wait_procs(processes, timeout=60)
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A session that does not outlive its test."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
