"""What docs/api.md lists is what can be imported, with a docstring, and nothing else is promised."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import write_reference

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()
MODULES = [f"pytest_llmeval.{name}" for name in write_reference.PUBLIC]


def listed(module: str) -> list[str]:
    """The names in the page's table of a module."""
    _, _, section = PAGE.partition(f"### {module}\n")
    return re.findall(r"^\| `(\w+)` \|", section.partition("\n### ")[0], re.MULTILINE)


@pytest.mark.parametrize("module", MODULES)
def test_what_is_listed_is_exported_and_explained(module):
    names = import_module(module).__all__
    assert listed(module) == list(names)
    for name in names:
        thing = getattr(import_module(module), name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            said = inspect.getdoc(thing) or ""
            made_by_itself = said.startswith(f"{name}(")  # a dataclass's
            assert said, f"{module}.{name} has no docstring"
            assert not made_by_itself, f"{module}.{name} has no docstring of its own"


def test_every_heading_of_the_page_is_a_public_module():
    assert re.findall(r"^### ([\w.]+)$", PAGE, re.MULTILINE) == MODULES


def test_public_modules_import_nothing_heavy():
    program = f"import sys, {', '.join(MODULES)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "vllm", "transformers", "numpy", "pandas"} & set(done.stdout.split())
