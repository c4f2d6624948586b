"""Versions that are written down in several places agree."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from pytest_llmeval.options import OLDEST
from pytest_llmeval.plugin import refuse_old_neighbours

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
    for name, pin in pinned("oldest.txt").items():
        assert pin.release[:2] == LEAST[name].release[:2]
    assert PROJECT["tool"]["pytest"]["ini_options"]["minversion"] == OLDEST["pytest"][0]
    for name, (wanted, _) in OLDEST.items():
        assert LEAST[name] == Version(wanted)


@pytest.mark.parametrize(
    ("package", "older", "words"),
    [
        ("pytest", "8.4.2", r"needs pytest 9\.0 or newer, and this is 8\.4\.2"),
        ("pytest-benchmark", "5.2.3", r"needs pytest-benchmark 5\.3\.1 or newer, and this is 5\.2\.3"),
    ],
)
def test_whoever_stands_beside_an_older_one_is_told_so(package, older, words):
    def without_pip(name: str) -> str:
        return older if name == package else version(name)

    with pytest.raises(pytest.UsageError, match=words):
        refuse_old_neighbours(without_pip)


def test_the_oldest_themselves_and_versions_of_developers_are_welcome():
    refuse_old_neighbours()
    refuse_old_neighbours(lambda name: f"{OLDEST[name][0]}.dev12+g1234")
