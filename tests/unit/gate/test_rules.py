"""Rules from models.toml, pyproject.toml and the command line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.gate.rules import RULES, Policy, load_policy
from pytest_llmeval.registry import load_registry

KNOWN = ["qwen3_8b", "qwen3_8b_awq"]


@pytest.fixture
def load(tmp_path):
    def load(gate: str = "", *given: str, pyproject: str = "", below: str = ""):
        registry, project = tmp_path / "models.toml", tmp_path / "pyproject.toml"
        (tmp_path / "below.toml").write_text(below)
        registry.write_text(f'include = ["below.toml"]\n{gate}')
        project.write_text(pyproject)
        assert load_registry(registry) == {}
        return load_policy(registry, project, given, KNOWN)

    return load


def mistakes_of(error) -> list[str]:
    return [line.strip() for line in str(error.value).splitlines()[1:]]


def test_by_default_every_rule_is_on_and_nothing_is_judged_without_a_baseline(load):
    policy = load()
    assert policy.accuracy.on
    assert policy.accuracy.margin == 3
    assert (policy.alpha, policy.inconclusive) == (0.05, "warn")
    assert not policy.needs_no_baseline


def test_the_command_line_lies_over_pyproject_over_the_registry_over_what_it_includes(load):
    policy = load(
        "[gate]\naccuracy = { margin = 4 }\noutput_speed.threshold = 7",
        "inconclusive=fail",
        "energy=false",
        pyproject="[tool.pytest_llmeval.gate]\noutput_speed = { threshold = 8 }",
        below="[gate]\nalpha = 0.01\naccuracy = { margin = 9, threshold = 1 }",
    )
    assert (policy.accuracy.margin, policy.accuracy.threshold) == (4, 1)
    assert (policy.output_speed.threshold, policy.alpha) == (8, 0.01)
    assert policy.inconclusive == "fail"
    assert not policy.energy.on


def test_the_docs_show_the_rules_as_they_are_by_default():
    page = (Path(__file__).parents[3] / "docs/gate.md").read_text()
    shown = next(block for block in re.findall(r"```toml\n(.*?)```", page, re.S) if "alpha" in block)
    table = tomllib.loads(shown)["gate"]
    del table["models"]
    assert Policy.model_validate(table) == Policy()
    assert set(RULES) <= set(table)


def test_a_pyproject_that_is_no_toml_is_named(load):
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml is not valid TOML"):
        load(pyproject="[tool")


@pytest.mark.parametrize("limit", ["nan", "inf"])
def test_a_limit_that_is_no_number_is_a_mistake(load, limit):
    with pytest.raises(ConfigurationError) as error:
        load(f"[gate]\nresponse_time = {{ max = {limit} }}")
    assert mistakes_of(error) == [f"gate.response_time.max: input should be a finite number (got {limit})"]


def test_floors_and_limits_need_no_baseline(load):
    policy = load('[gate]\nfloors = ["pass@1 >= 0.80"]', "lower95(pass@10) >= .75")
    assert [str(floor) for floor in policy.floors] == ["pass@1>=0.8", "lower95(pass@10)>=0.75"]
    assert policy.needs_no_baseline
    assert load("[gate]\nresponse_time = { max = 2.0 }").needs_no_baseline
    assert load('[gate.compare]\nqwen3_8b_awq = "qwen3_8b"').needs_no_baseline


def test_rules_of_one_model_lie_over_those_of_all(load):
    policy = load("[gate]\naccuracy = { margin = 4 }\nenergy = false\n"
                  "[gate.models.qwen3_8b]\naccuracy = { threshold = 1 }\nenergy = { threshold = 9 }")  # fmt: skip
    one, other = policy.rules_of("qwen3_8b"), policy.rules_of("qwen3_8b_awq")
    assert (one.accuracy.margin, one.accuracy.threshold, one.energy.threshold) == (4, 1, 9)
    assert other.accuracy.threshold == 0
    assert not other.energy.on


def test_every_mistake_is_named_at_once(load):
    with pytest.raises(ConfigurationError) as error:
        load(
            '[gate]\nacuracy = true\nalpha = 2\nfloors = ["pass@1 > 0.8"]\nenergy = { treshold = 3 }\n'
            "[gate.models.qwen3_8b]\noutput_speed = { max = 'fast' }\nmemry = false",
            "whatever",
        )
    assert mistakes_of(error) == [
        "--llmeval-gate 'whatever': must read KEY=VALUE, or like \"pass@1 >= 0.80\"",
        "gate.energy.treshold: unknown key; did you mean 'threshold'?",
        'gate.floors.0: a floor reads like "pass@1 >= 0.80" or "lower95(pass@1) >= 0.75" '
        "(got 'pass@1 > 0.8')",
        "gate.alpha: input should be less than 0.5 (got 2)",
        "gate.models.qwen3_8b.output_speed.max: input should be a valid number, unable to parse string as a "
        "number (got 'fast')",
        "gate.models.qwen3_8b.memry: unknown key; did you mean 'memory'?",
        "gate.acuracy: unknown key; did you mean 'accuracy'?",
    ]


def test_unknown_models_are_mistakes(load):
    with pytest.raises(ConfigurationError) as error:
        load('[gate.compare]\nqwen3_8b_awk = "qwen3_8b"\n[gate.models.gpt]\nenergy = false')
    assert mistakes_of(error) == [
        "gate.compare: no model 'qwen3_8b_awk'; did you mean 'qwen3_8b_awq'?",
        "gate.models: no model 'gpt'",
    ]


def test_a_gate_that_is_no_table_is_a_mistake(load):
    with pytest.raises(ConfigurationError, match="gate: must be a table"):
        load("gate = 3")
