"""Disks that are full or not to be written, and runs that share a reports folder: whole runs, real limits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmeval.store import read_records

ARGUMENTS = (
    "--llmeval-models=good",
    "--llmeval-probe=off",
    "--llmeval-sandbox-workers=1",
    "-p",
    "no:cacheprovider",
)
MOUNTS = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]


def can_mount() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*MOUNTS, "mount -t tmpfs x /mnt"]).returncode


@pytest.fixture
def mounted(project, pytester):
    """Runs the project with `reports` on a file system of its own; `then` runs before that is gone."""
    if not can_mount():
        pytest.skip("needs user namespaces that may mount")
    project("--collect-only", "-q")  # writes the project
    (pytester.path / "reports").mkdir()

    def run(mount: str, *args: str, then: str = ":") -> subprocess.CompletedProcess[str]:
        python = " ".join([sys.executable, "-m", "pytest", *ARGUMENTS, *args])
        script = f"{mount}; {python} || code=$?; {then}; exit ${{code:-0}}"
        return subprocess.run(
            [*MOUNTS, script], cwd=pytester.path, capture_output=True, text=True, timeout=300
        )

    return run


def test_a_full_disk_is_a_fault_and_keeps_what_was_written(mounted, pytester):
    done = mounted(
        "mount -t tmpfs -o size=200k x reports", "--llmeval-limit=60", then="cp -r reports/latest/. kept"
    )
    assert "No space left on device. Records written before are kept" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "INTERNALERROR" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "lines.py" not in done.stdout, (
        "each fault is told in a line or two, where it came from is nobody's business"
    )
    kept = list(read_records(pytester.path / "kept/results.jsonl"))
    assert 0 < len(kept) < 60
    assert all(record.correct == 1 for record in kept)


def test_a_folder_that_is_not_to_be_written_is_one_clear_error(mounted):
    done = mounted("mount -t tmpfs -o ro x reports", "--llmeval-limit=1")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "reports cannot be written: Read-only file system" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_two_runs_at_once_share_a_reports_folder(project, pytester):
    project("--collect-only", "-q")  # writes the project
    command = [sys.executable, "-m", "pytest", *ARGUMENTS, "--llmeval-limit=5"]
    runs = [subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait(300) for run in runs] == [0, 0]
    folders = [path for path in Path("reports").iterdir() if not path.is_symlink()]
    assert len(folders) == 2
    for folder in folders:
        assert len(list(read_records(folder / "results.jsonl"))) == 5
        assert (folder / "report.html").exists()
    assert Path("reports/latest").resolve() in [folder.resolve() for folder in folders]


IN_THE_WAY = '''
from pytest_llmeval.testing import FakeEngine

class InTheWay(FakeEngine):
    """Puts a folder where the run wants to write what was seen of it, and says on disk that it was closed."""
    suffix = ".json"

    def __init__(self, spec, context):
        super().__init__(spec, context)
        self._run = context.log_path.parent.parent
        (self._run / "telemetry" / f"{spec.name}{self.suffix}").mkdir(parents=True)

    def close(self):
        (self._run / f"{self.spec.name} was closed").touch()

class BeforeReadings(InTheWay):
    suffix = ".jsonl"
'''


@pytest.mark.parametrize("devices", [(), ("--llmeval-devices=auto",)], ids=["in a row", "placed"])
@pytest.mark.parametrize("until", [(), ("-x",)], ids=["to the end", "ended early"])
def test_telemetry_that_cannot_be_written_is_told_and_costs_nothing_else(project, pytester, devices, until):
    pytester.makepyfile(in_the_way=IN_THE_WAY)
    pytester.syspathinsert()
    entry = 'model = "fake"\nkind = "in_the_way:InTheWay"\nengine = { solves = 1 }\n'
    registry = f"[models.a]\n{entry}[models.b]\n{entry}"
    asked = ("--llmeval-limit=2", "--llmeval-models=a,b", "--llmeval-probe=off")
    result = project(*asked, *devices, *until, registry=registry)
    result.assert_outcomes(passed=1 if until else 2, failed=1 if until else 2)
    result.stdout.fnmatch_lines(["*leaderboard*", "*ERROR: *telemetry/a.json cannot be written: *"])
    run = pytester.path / "reports/latest"
    assert (run / "summary.json").exists()
    assert (run / "a was closed").exists()
    assert until or (run / "b was closed").exists()


def test_readings_that_cannot_be_written_cost_nothing_else(project, pytester):
    pytester.makepyfile(in_the_way=IN_THE_WAY)
    pytester.syspathinsert()
    registry = '[models.a]\nmodel = "fake"\nkind = "in_the_way:BeforeReadings"\n'
    result = project("--llmeval-limit=2", "--llmeval-models=a", "--llmeval-probe=off", registry=registry)
    result.assert_outcomes(passed=2)
    told = json.loads((pytester.path / "reports/latest/telemetry/a.json").read_text())["telemetry"]["why"]
    assert "telemetry/a.jsonl: Is a directory" in told["file"]
