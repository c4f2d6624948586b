"""Versions that are written down in several places agree."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from pytest_llmeval.options import OLDEST_PYTEST
from pytest_llmeval.plugin import refuse_old_pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LEAST = {
    requirement.name: Version(next(iter(requirement.specifier)).version)
    for requirement in map(Requirement, PROJECT["project"]["dependencies"])
}


def pinned(name: str) -> dict[str, Version]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name: Version(version) for name, version in pairs}


def test_the_oldest_that_are_tested_are_the_oldest_that_are_allowed():
    for name, version in pinned("oldest.txt").items():
        assert version.release[:2] == LEAST[name].release[:2]
    assert PROJECT["tool"]["pytest"]["ini_options"]["minversion"] == ".".join(map(str, OLDEST_PYTEST))
    assert LEAST["pytest"].release == OLDEST_PYTEST


def test_an_older_pytest_is_told_so():
    with pytest.raises(pytest.UsageError, match=r"needs pytest 9\.0 or newer, and this is 8\.4\.2"):
        refuse_old_pytest((8, 4, 2))
    refuse_old_pytest((9, 0, 0))
    refuse_old_pytest()
