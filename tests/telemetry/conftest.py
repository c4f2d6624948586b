"""pynvml against a test double of NVIDIA's library, each time in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent

WATCHED = """
import json, os, sys, time
from pathlib import Path
from pytest_llmeval.telemetry.watch import Target, Watch
from pydantic_core import to_jsonable_python
seconds, count, path, returning = float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
target = Target("fake", lambda: os.getpgid(0), os.environ.get("CUDA_VISIBLE_DEVICES"), count)
watch = Watch(target, path, rate_hz=50)


def is_back():
    lines = map(json.loads, path.read_text().splitlines(keepends=True)[:-1])  # the last may be half written
    there = [returning in line for line in lines if line["type"] == "device"]
    return not returning or (False in there and True in there[there.index(False):])


with watch.phase("batch"):
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds or (passed < 30 and not is_back()):
        time.sleep(0.01)
print(json.dumps(to_jsonable_python(watch.close())))
"""


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory) -> Path:
    """The folder of the test double, compiled once."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc to compile the test double of libnvidia-ml")
    folder = tmp_path_factory.mktemp("fake_nvml")
    library = folder / "libnvidia-ml.so.1"
    command = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{library.name}", "-o", str(library)]
    subprocess.run([*command, str(HERE / "fake_nvml.c")], check=True)
    return folder


@pytest.fixture
def watched(fake_library, tmp_path) -> Callable[..., tuple[dict, list[dict]]]:
    """Watches a phase of `seconds` under the test double; gives what is left of it, and the lines written.

    `returning`: longer than that, until this figure of the device was lost and is back.
    """

    def run(
        seconds: float = 0.3, count: int = 1, returning: str = "", **environment: str
    ) -> tuple[dict, list[dict]]:
        path = tmp_path / "telemetry/fake.jsonl"
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, str(seconds), str(count), str(path), returning],
            env={**os.environ, "LD_LIBRARY_PATH": str(fake_library), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), [json.loads(line) for line in path.read_text().splitlines()]

    return run
