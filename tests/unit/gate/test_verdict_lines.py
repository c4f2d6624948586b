"""A verdict in lines: what matters by itself, the rest together."""

from __future__ import annotations

from pytest_llmeval.gate.baseline import Baseline
from pytest_llmeval.gate.figures import RunFigures
from pytest_llmeval.gate.findings import Conclusion, Finding
from pytest_llmeval.gate.judge import Gate
from pytest_llmeval.gate.rules import Policy
from pytest_llmeval.gate.text import gate_lines

FINDINGS = [
    Finding("m", "accuracy", Conclusion.REGRESSED, "pass@1 fell", ("newly failed: T/1",)),
    Finding("m", "no_code", Conclusion.UNCHANGED, "no more than before"),
    Finding("m", "truncated", Conclusion.UNCHANGED, "no more than before"),
    Finding("m", "energy", Conclusion.NOT_JUDGED, "energy per output token: not measured in this run"),
    Finding("m", "batch_speed", Conclusion.INCONCLUSIVE, "1 → 2; 4 more would tell what is noise"),
]
GATE = Gate(Policy(), Baseline("b.json", [RunFigures("r", "2026-11-01", {})]))


def lines(**more) -> list[str]:
    return [line for line, _ in gate_lines(GATE, FINDINGS, {"m": ["engine.dtype: a → b"]}, **more)]


def test_what_matters_has_its_own_line_and_the_rest_shares_one():
    assert lines() == [
        "against run r of 2026-11-01, from b.json",
        "changed in m: engine.dtype: a → b",
        "m accuracy: regressed: pass@1 fell",
        "  newly failed: T/1",
        "m: unchanged: no_code, truncated",
        "m energy: not judged: energy per output token: not measured in this run",
        "m batch_speed: inconclusive: 1 → 2; 4 more would tell what is noise",
        'warning: inconclusive Findings do not fail this run (gate.inconclusive = "fail" would)',
    ]


def test_in_full_every_finding_has_its_line():
    assert "m truncated: unchanged: no more than before" in lines(in_full=True)
