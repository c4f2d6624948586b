"""The walls of the house: stages import the shared value types and errors, never one another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pytest_llmeval"

SHARED = {"schema", "errors", "extensions", "redaction"}
# Which rooms a room may look into, besides itself and what is shared.
ALLOWED: dict[str, set[str]] = {
    "schema": set(),
    "errors": set(),
    "extensions": set(),
    "redaction": set(),
    "hookspecs": set(),
    "options": set(),
    "plugin": {"options", "hooks", "hookspecs"},
    "registry": {"prompting"},  # an instruction is checked where it is written
    "devices": set(),
    "telemetry": set(),
    "problems": set(),
    "prompting": set(),
    "extraction": set(),
    "sandbox": set(),
    "metrics": set(),
    "store": set(),
    "benchmarking": set(),
    "samples": set(),
    "occupancy": {"telemetry"},  # NVML's handles
    "engines": {
        "devices",
        "occupancy",
        "prompting",
        "samples",
    },  # hosts render prompts with the model's tokenizer
    "scoring": {"options", "problems", "sandbox"},  # right answers are measured where programs are judged
    "suites": set(),
    "selection": {"options", "problems", "registry", "samples"},
    "results": {"batch", "engines", "metrics"},
    "runs": {"engines", "results", "store", "telemetry"},
    "exact_match": {"extraction"},  # reads programs as safely as extraction does
    "keys": {"devices", "options", "prompting"},
    "manifest": {"devices", "keys", "prompting"},
    "asking": {"prompting"},
    "batch": {"asking", "engines"},
    "judging": {"asking", "batch", "exact_match", "extraction", "keys", "prompting", "resume", "store"},
    "resume": {"asking", "keys", "store"},
    "probe": {"engines"},
    "serving": {"devices", "engines", "metrics", "telemetry"},  # measures engines; nothing is judged there
    "costs": {"engines", "results", "serving", "store", "telemetry"},  # reads what a run left
    "watching": {"devices", "engines", "store", "telemetry"},
    "pipeline": {"asking", "batch", "engines", "judging", "keys", "probe", "resume", "store"},
    "interrupts": set(),
    "patience": set(),
    "__main__": set(),  # commands are named, and imported when called
    "gate": {"metrics", "registry", "store"},  # judges what runs left on disk; gating.py joins it to pytest
    "commands": {"devices", "registry", "sandbox"},  # each is imported when it is called
    "judged": {"benchmarking"},
    "testing": {"engines", "problems", "store"},
}
# These join stages: run everything below pytest, collection and outcomes the items, hooks and report the rest.
JOINERS = {"workers", "run", "collection", "outcomes", "gating", "hooks", "report"}
HEAVY = {"torch", "vllm", "transformers"}
HOST_ONLY = {"vllm_drivers.py", "vllm_facts.py", "transformers_driver.py"}


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
def test_pytest_is_known_at_the_edge_only(path):
    edge = {
        "plugin",
        "workers",
        "interrupts",
        "patience",
        "hooks",
        "options",
        "collection",
        "outcomes",
        "gating",
        "benchmarking",
        "report",
    }
    edge |= {"testing", "suites"}  # contract tests and suites, for pytest to collect
    if room_of(path) not in edge:
        assert "pytest" not in {name.split(".")[0] for name in imported(path)}
