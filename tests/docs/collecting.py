"""Collects what commands select, in one process for all: python collecting.py < lines.json > results.json."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import pytest


def collected(line: list[str]) -> tuple[int, str]:
    """pytest's exit code and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = pytest.main([*line[1:], "--collect-only", "-q"])
    return int(code), said.getvalue()


if __name__ == "__main__":
    json.dump([collected(line) for line in json.load(sys.stdin)], sys.stdout)
