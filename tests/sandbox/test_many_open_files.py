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


@pytest.mark.parametrize(
    "last", range(194, 201)
)  # so that each line of a worker has the zygotes' number once
def test_a_worker_starts_whatever_numbers_its_lines_get(last):
    subprocess.run([sys.executable, "-c", START, str(last)], check=True, capture_output=True, timeout=60)
