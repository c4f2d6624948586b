"""A verdict in lines: for the terminal's section, and for the command that judges without pytest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_llmeval.gate.findings import Conclusion, Finding
from pytest_llmeval.gate.judge import Gate
from pytest_llmeval.gate.measures import MEASURES
from pytest_llmeval.gate.relative import NOISE

Line = tuple[str, dict[str, bool]]
COLOURS = {
    Conclusion.REGRESSED: {"red": True},
    Conclusion.MISSING: {"red": True},
    Conclusion.INCONCLUSIVE: {"yellow": True},
    Conclusion.IMPROVED: {"green": True},
}
WARNING = 'warning: inconclusive Findings do not fail this run (gate.inconclusive = "fail" would)'


def gate_lines(
    gate: Gate, findings: Sequence[Finding], changes: Mapping[str, Sequence[str]], in_full: bool = False
) -> Iterator[Line]:
    """Against what, what changed, then the Findings.

    What matters has a line of its own; Findings of one model that say the same of several rules share one, unless
    all are wanted `in_full`.
    """
    if gate.baseline:
        yield f"against {gate.baseline.describe()}", {}
    for model, changed in changes.items():
        if changed:
            yield f"changed in {model}: {'; '.join(changed)}", {}
    for group in _grouped(findings, in_full):
        yield from _told(group)
    undecided = any(finding.conclusion is Conclusion.INCONCLUSIVE for finding in findings)
    if undecided and gate.policy.inconclusive == "warn":
        yield WARNING, {"yellow": True}


def _grouped(findings: Sequence[Finding], in_full: bool) -> Iterable[list[Finding]]:
    """Findings that share a line, in the order of the first of each group."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        shared = None if in_full else _shared(finding)
        groups.setdefault((finding.model, shared or finding.rule), []).append(finding)
    return groups.values()


def _shared(finding: Finding) -> str | None:
    """What a Finding has in common with others; None where it deserves its own line."""
    if finding.conclusion.is_silent:
        measure = MEASURES.get(finding.rule)
        reason = finding.says.removeprefix(f"{measure.says}: ") if measure else finding.says
        return "; ".join((reason, *finding.details))
    if finding.conclusion is Conclusion.UNCHANGED and not finding.rule.startswith("accuracy"):
        return str(finding.conclusion)
    if finding.says.endswith(NOISE):
        return finding.says.rpartition("; ")[2]
    return None


def _told(group: Sequence[Finding]) -> Iterator[Line]:
    first, *others = group
    conclusion = first.conclusion
    word = conclusion.replace("_", " ")
    if others:
        why = "" if conclusion is Conclusion.UNCHANGED else f" ({_shared(first)})"
        line = f"{first.model}: {word}: {', '.join(finding.rule for finding in group)}{why}"
        yield line, COLOURS.get(conclusion, {})
        return
    yield f"{first.model} {first.rule}: {word}: {first.says}", COLOURS.get(conclusion, {})
    for detail in first.details:
        yield f"  {detail}", {}
