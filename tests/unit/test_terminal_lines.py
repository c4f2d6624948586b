"""Lines in the terminal while items wait, and names in JUnit's file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llmeval.report.junit import add_properties
from pytest_llmeval.report.terminal import LiveLine
from pytest_llmeval.runs import load_run
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, Sample, Verdict
from pytest_llmeval.testing.runs import write_run


def configured(**plugins: Any) -> Any:
    manager = SimpleNamespace(getplugin=plugins.get, get_plugins=plugins.values)
    return SimpleNamespace(pluginmanager=manager, option=SimpleNamespace(verbose=0))


@pytest.mark.parametrize(("columns", "longest"), [("40", 39), ("200", 66)])
def test_the_live_line_is_one_line_in_a_narrow_terminal(monkeypatch, columns, longest):
    """A line that wraps is not rewritten: each piece of news would leave a torn one behind."""
    monkeypatch.setenv("COLUMNS", columns)
    written: list[str] = []
    reporter = SimpleNamespace(
        isatty=True, rewrite=lambda line, erase: written.append(line), flush=lambda: None
    )
    LiveLine(configured(terminalreporter=reporter))(
        "qwen3_8b: answers", "12 of 164, 345 tok/s, the first after 1.2 s" + "x" * 4
    )
    assert [len(line) for line in written] == [longest]
    assert written[0].startswith("qwen3_8b: answers, 12 of 164")


def test_properties_of_oddly_named_problem_sets_can_stand_in_xml(tmp_path):
    sample = Sample(0, Completion("x"), None, Verdict(Outcome.PASSED))
    record = Record("m", "s\x1bet", "t/1", Prompt(PromptStyle.COMPLETION, "p"), (sample,))
    given: dict[str, str] = {}
    junit = SimpleNamespace(add_global_property=given.__setitem__)
    add_properties(configured(junit=junit), load_run(write_run(tmp_path / "run", [record])))
    assert given[r"llmeval.m.s\x1bet.pass@1"] == "1"
