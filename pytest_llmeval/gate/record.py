"""findings.json: what the gate concluded, for the page, for CI and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmeval.gate.findings import Finding
from pytest_llmeval.gate.judge import Gate


def findings_document(
    gate: Gate, findings: Sequence[Finding], changes: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """`changes`: per model, what differs from what it is held against."""
    return {
        "baseline": gate.baseline.describe() if gate.baseline else None,
        "alpha": gate.policy.alpha,
        "inconclusive": gate.policy.inconclusive,
        "changed": changes,
        "findings": [{"id": finding.id, **vars(finding)} for finding in findings],
    }
