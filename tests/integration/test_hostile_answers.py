"""What a model wrote takes no effect in a terminal, a JUnit file or a GitHub job's log."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

HOSTILE = "]]><x y='\x1b[31m\x9b\x07\x00\u202e\u2066\u2028\ud800\x85z'>&amp;"
HOSTILE += "\n::error::forged ##[error]forged\r::set-output x::"
RAW = "\x1b\x9b\x07\x00\u202e\u2066\u2028\ud800\x85"
COLOURS = "--color=no"  # pytest's own are escape sequences as well


@pytest.fixture
def hostile(project, pytester, monkeypatch):
    """A run whose three answers raise, print and return what is above, seen by pytest's own reporters."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    text = json.dumps(HOSTILE)
    bodies = (f"    raise ValueError({text})\n", f"    return {text}\n", f"    print({text}); 1 / 0\n")
    rows = [{"task_id": f"HumanEval/{n}", "completion": body} for n, body in enumerate(bodies)]
    (pytester.path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = project("--llmeval-samples=samples.jsonl", "--junitxml=junit.xml", "-rA", "-v", COLOURS)
    result.assert_outcomes(failed=3)
    return result


def test_hostile_answers_leave_a_junit_file_that_parses_and_holds_nothing_raw(hostile, pytester):
    path = pytester.path / "junit.xml"
    text = path.read_text(encoding="utf-8")
    assert not set(RAW) & set(text)
    failures = [case.find("failure") for case in ET.parse(path).iter("testcase")]
    assert len(failures) == 3
    assert all(not list(failure) for failure in failures), "no element of theirs"
    assert "ValueError: ]]><x y='\\x1b[31m" in failures[0].get("message")
    properties = {one.get("name"): one.get("value") for one in ET.parse(path).iter("property")}
    assert properties["llmeval.samples.status"] == "complete"
    assert properties["llmeval.samples.humaneval.pass@1"] == "0"
    assert properties["llmeval.samples.humaneval.n"] == "3"
    assert "llmeval.samples.response_s" not in properties, "not measured is no zero"


def test_hostile_answers_command_neither_the_terminal_nor_the_job(hostile, pytester):
    text = hostile.stdout.str()
    assert not set(RAW) & set(text)
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in text
    assert "ValueError: ]]><x y='\\x1b[31m" in text
