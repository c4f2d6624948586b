"""The gate inside pytest: whether this run has one, and the hooks that make its Findings part of the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import suggestion

if TYPE_CHECKING:
    from pytest_llmeval.gate.judge import Gate
    from pytest_llmeval.run import Run

OFF = "off"
PREFIX = "gate::"


def install(config: pytest.Config, run: Run) -> None:
    """Register the gate's hooks where a baseline was given or the rules ask for something without one.

    The gate is imported only then. Under pytest-xdist workers mark single answers, and the controller judges. A shard
    is not judged: the run that is put together of all of them is.

    Raises:
        ConfigurationError: the baseline cannot be read, or the rules hold mistakes.
    """
    if OFF in run.options.gate or run.options.shard:
        return
    project = config.rootpath / "pyproject.toml"
    if not (run.options.baseline or run.options.gate or _rules_are_written(run, project)):
        return
    gate = _load(run, project)
    if gate.baseline or gate.policy.needs_no_baseline or run.options.gate:
        from pytest_llmeval.gating.hooks import GateHooks

        deselected = _deselected(config, run, gate)
        config.pluginmanager.register(GateHooks(config, run, gate, deselected), "llmeval_gate")


def _rules_are_written(run: Run, project: Path) -> bool:
    from pytest_llmeval.registry import gate_table

    if gate_table(run.options.registry):
        return True
    text = project.read_text(encoding="utf-8", errors="replace") if project.is_file() else ""
    return "pytest_llmeval" in text and "gate" in text  # perhaps: the rules say so when they are read


def _load(run: Run, project: Path) -> Gate:
    from pytest_llmeval.gate.baseline import load_baseline
    from pytest_llmeval.gate.judge import Gate
    from pytest_llmeval.gate.rules import load_policy

    baseline = load_baseline(run.options.baseline) if run.options.baseline else None
    known = [*run.specs, *(baseline.first.models if baseline else ())]
    return Gate(load_policy(run.options.registry, project, run.options.gate, known), baseline)


def _deselected(config: pytest.Config, run: Run, gate: Gate) -> frozenset[str]:
    """The Findings that --deselect names, each by its whole id.

    Raises:
        ConfigurationError: an id that starts like a Finding's can be none.
    """
    from pytest_llmeval.gate.measures import MEASURES
    from pytest_llmeval.gate.rules import RULES

    given = [entry for entry in config.option.deselect or [] if entry.startswith(PREFIX)]
    models = {*run.specs, *(gate.baseline.first.models if gate.baseline else ())}
    for entry in given:
        _, model, rule = [*entry.split("::", 2), ""][:3]
        if model not in models:
            raise ConfigurationError(f"--deselect {entry}: no model {model!r}{suggestion(model, models)}")
        rules = [name for name in RULES if name != "floors"]
        rules += map(str, gate.policy.rules_of(model).floors)  # each floor has a Finding of its own
        name, of_a_set, _ = rule.partition("[")
        over_all_sets = (*MEASURES, "faults")
        if name not in rules or (of_a_set and name in over_all_sets):
            raise ConfigurationError(f"--deselect {entry}: no rule {rule!r}{suggestion(rule, rules)}")
    return frozenset(given)
