"""One Finding as pytest's test reports: what the terminal, JUnit, pytest-html and the exit code go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from pytest_llmeval.gate.findings import GATE, Conclusion, Finding
from pytest_llmeval.printable import printed

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class FindingPlace:
    """Where a test would have crashed, for everybody who looks: pytest's summaries, JUnit, annotating plugins."""

    message: str
    path: str = GATE
    lineno: int = 0

    def __str__(self) -> str:
        return self.message  # what --tb=line shows


@dataclass(frozen=True)
class FindingText:
    """What a failed Finding shows; `reprcrash` is where pytest and JUnit look for the one line."""

    line: str
    details: tuple[str, ...]

    @property
    def reprcrash(self) -> FindingPlace:
        return FindingPlace(self.line)

    def toterminal(self, tw: Any) -> None:
        for line in str(self).splitlines():
            tw.line(line)

    def __str__(self) -> str:
        return "\n".join((self.line, *self.details))


def reports_of(finding: Finding, inconclusive: str) -> list[pytest.TestReport]:
    """Set-up, call and teardown: pytest-html and JUnit count a test when all three were told."""
    return [_report(finding, inconclusive, when) for when in ("setup", "call", "teardown")]


def _report(finding: Finding, inconclusive: str, when: Any) -> pytest.TestReport:
    outcome: Outcome = pytest_outcome(finding.conclusion, inconclusive) if when == "call" else "passed"
    text = FindingText(printed(f"{finding.conclusion}: {finding.says}"), tuple(map(printed, finding.details)))
    report = pytest.TestReport(
        nodeid=finding.id,
        location=(GATE, None, f"{finding.model} {finding.rule}"),
        keywords={GATE: 1, finding.model: 1},
        outcome=outcome,
        longrepr=_longrepr(text, outcome),  # pytest asks it for toterminal and reprcrash only
        when=when,
        sections=[(GATE, str(text))] if when == "call" and outcome == "passed" else [],
        user_properties=[("llmeval_conclusion", str(finding.conclusion)), ("llmeval_says", text.line)],
    )
    report.llmeval_finding = finding.conclusion  # type: ignore[attr-defined]
    report.llmeval_says = text.line  # type: ignore[attr-defined]
    return report


def _longrepr(text: FindingText, outcome: str) -> Any:
    return {"failed": text, "skipped": (GATE, 0, text.line), "passed": None}[outcome]


def pytest_outcome(conclusion: Conclusion, inconclusive: str) -> Outcome:
    """failed, passed or skipped; `inconclusive` is the user's choice for the undecided."""
    if conclusion.fails or (conclusion is Conclusion.INCONCLUSIVE and inconclusive == "fail"):
        return "failed"
    return "skipped" if conclusion.is_silent else "passed"


def word_of(report: pytest.TestReport) -> Any:
    """`INCONCLUSIVE` instead of PASSED, and `FIXED` for a right answer that was wrong before; None for others."""
    if report.when != "call" or not report.passed:
        return None
    if getattr(report, "llmeval_finding", None) is Conclusion.INCONCLUSIVE:
        return "inconclusive", "?", ("INCONCLUSIVE", {"yellow": True})
    if finding := getattr(report, "llmeval_finding", None):
        return "passed", ".", (str(finding).upper(), {"green": True})
    if getattr(report, "llmeval_says", "").startswith("fixed"):
        return "passed", ".", ("PASSED (fixed)", {"green": True})
    return None
