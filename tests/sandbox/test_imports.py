"""The sandbox stands on the shared value types alone, and what runs in the jail on nothing of ours."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import pytest_llmeval.sandbox
from pytest_llmeval.sandbox import zygote

ROOT = Path(pytest_llmeval.sandbox.__file__).parent
ALLOWED = ("pytest_llmeval.schema", "pytest_llmeval.errors", "pytest_llmeval.sandbox")
LAZY = {"codec.py": {"numpy"}}  # imported only where a value of it arrives


def imported(path: Path) -> set[str]:
    """Absolute module names that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.name)
def test_the_sandbox_imports_only_the_standard_library_and_shared_types(path: Path) -> None:
    for name in imported(path):
        assert name.startswith(ALLOWED) or name.split(".")[0] in sys.stdlib_module_names, name


@pytest.mark.parametrize("path", sorted((ROOT / "jail").glob("*.py")), ids=lambda path: path.name)
def test_what_runs_in_the_jail_imports_only_the_standard_library(path: Path) -> None:
    names = {name.split(".")[0] for name in imported(path)} - LAZY.get(path.name, set())
    assert names <= set(sys.stdlib_module_names)


def test_every_jail_module_is_sent_to_the_jail() -> None:
    assert {*zygote.MODULES, *zygote.ENCLOSING} == {path.stem for path in (ROOT / "jail").glob("*.py")} - {
        "__init__"
    }
