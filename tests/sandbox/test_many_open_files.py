"""A pytest that holds hundreds of files open starts workers like any other."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import os, sys
from pytest_llmeval.sandbox import Executor
first = os.open(os.devnull, os.O_RDONLY)
while os.dup(first) < int(sys.argv[1]):
    pass
executor = Executor(workers=1)
executor.start()
executor.close()
"""


JUDGE = """
import os, resource, sys
from pytest_llmeval.sandbox import Executor
from pytest_llmeval.schema import Problem, Program
resource.setrlimit(resource.RLIMIT_NOFILE, (6000, 6000))
first = os.open(os.devnull, os.O_RDONLY)
while os.dup(first) < 5000:
    pass
executor = Executor(workers=1)
executor.start()
test = "def check(f):\\n    assert f(0) == [0, 1, 2, 3]\\n"
verdict = executor.submit(Program(sys.argv[1], "test"), Problem("x", "x", "", "f", test, "")).result()
executor.close()
print(verdict.outcome, verdict.detail)
"""
OPEN = """
import os
def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False
def f(_):
    return [fd for fd in range(6000) if is_open(fd)]
"""


def test_no_sample_holds_a_worker_s_line_however_high_its_number_was() -> None:
    judging = [sys.executable, "-c", JUDGE, OPEN]
    said = subprocess.run(judging, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.split() == ["passed"]


@pytest.mark.parametrize(
    "last", range(194, 201)
)  # so that each line of a worker has the zygotes' number once
def test_a_worker_starts_whatever_numbers_its_lines_get(last):
    subprocess.run([sys.executable, "-c", START, str(last)], check=True, capture_output=True, timeout=60)
