"""The walls of the house: stages import the shared value types and errors, never one another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pytest_llmeval"

SHARED = {"schema", "errors", "extensions", "paths", "printable", "redaction", "units"}
# Which rooms a room may look into, besides itself and what is shared.
ALLOWED: dict[str, set[str]] = {
    "schema": set(),
    "errors": set(),
    "extensions": set(),
    "paths": set(),
    "printable": set(),
    "redaction": set(),
    "units": set(),
    "hookspecs": set(),
    "options": set(),
    "plugin": {"options", "hooks", "hookspecs"},
    "registry": {"prompting"},  # an instruction is checked where it is written
    "devices": {"telemetry"},  # NVML's handles
    "telemetry": set(),
    "problems": set(),
    "prompting": set(),
    "extraction": set(),
    "sandbox": set(),
    "metrics": set(),
    "store": set(),
    "samples": set(),
    "placement": {"devices", "telemetry"},  # NVML names the devices
    "engines": {
        "devices",
        "placement",  # where an engine is to be
        "prompting",
        "samples",
    },  # hosts render prompts with the model's tokenizer
    "scoring": {"options", "problems", "sandbox"},  # right answers are measured where programs are judged
    "ray_cluster": {"devices", "engines", "options", "sandbox"},  # the same work, on other machines
    "suites": set(),
    "selection": {"options", "problems", "registry", "samples", "shards"},
    # Reads what a run left; an entry's parallel sizes say how its weights were read.
    "runs": {"devices", "engines", "metrics", "serving", "store", "telemetry"},
    "keys": {"devices", "options", "prompting"},
    "shards": set(),
    "merging": {"keys", "runs", "shards", "store"},  # makes one run's folder of several
    "serving": {
        "devices",
        "engines",
        "items",  # pytest-benchmark's clock
        "metrics",
        "telemetry",
    },  # measures engines; nothing is judged there
    "pipeline": {"engines", "extraction", "keys", "prompting", "store"},
    "interrupts": set(),
    "parsing": set(),
    "__main__": set(),  # commands are named, and imported when called
    "gate": {"metrics", "registry", "store"},  # judges what runs left on disk; gating/ joins it to pytest
    # Each is imported when it is called; options know which pytest is too old.
    "commands": {"devices", "options", "registry", "sandbox"},
    "testing": {"engines", "problems", "store"},
}
# These join stages: run everything below pytest, collection and items what pytest sees, hooks and report the rest.
JOINERS = {"workers", "run", "collection", "items", "gating", "hooks", "report"}
HEAVY = {"torch", "vllm", "transformers"}
RAYS_ROOM = "ray_cluster"
HOST_ONLY = {
    "vllm_drivers.py",
    "vllm_facts.py",
    "vllm_requests.py",
    "transformers_driver.py",
    "transformers_steps.py",
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names of all modules a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "pytest_llmeval":
                found |= {f"pytest_llmeval.{alias.name}" for alias in node.names}
    return found


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_looks_only_into_rooms_it_may(path):
    room = room_of(path)
    if room in JOINERS:
        return
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("pytest_llmeval.")}
    assert ours <= ALLOWED[room] | SHARED | {room}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_model_libraries_are_imported_in_the_engine_host_only(path):
    if path.name not in HOST_ONLY:
        assert not {name.split(".")[0] for name in imported(path)} & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_ray_is_known_in_its_room_only(path):
    """And there inside functions: a room can be read, and its scheduling tested, where ray is not installed."""
    if room_of(path) != RAYS_ROOM:
        assert "ray" not in {name.split(".")[0] for name in imported(path)}
    at_the_top = ast.parse(path.read_text()).body
    assert not [n for n in at_the_top if isinstance(n, ast.Import) and n.names[0].name == "ray"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_pytest_is_known_at_the_edge_only(path):
    edge = {
        "plugin",
        "workers",
        "interrupts",
        "hooks",
        "items",
        "options",
        "collection",
        "gating",
        "report",
    }
    edge |= {"testing", "suites"}  # contract tests and suites, for pytest to collect
    if room_of(path) not in edge:
        assert "pytest" not in {name.split(".")[0] for name in imported(path)}
