"""What the gate found: one Finding per model and rule, and how evidence becomes an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pytest_llmeval.gate.family import holm
from pytest_llmeval.gate.paired import Tails

GATE = "gate"
FINDINGS = "findings.json"  # where a run's folder holds them
ACCURACY = "accuracy"


class Conclusion(StrEnum):
    """What a rule came to. `unchanged` means: worse by less than the margin, or within its limit."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not_comparable"
    NOT_JUDGED = "not_judged"
    MISSING = "missing"

    @property
    def fails(self) -> bool:
        """True where it fails whatever the user chose."""
        return self in (Conclusion.REGRESSED, Conclusion.MISSING)

    @property
    def is_silent(self) -> bool:
        """True where nothing was concluded because nothing could be compared."""
        return self in (Conclusion.NOT_COMPARABLE, Conclusion.NOT_JUDGED)


@dataclass(frozen=True)
class Finding:
    """One model under one rule. `says` is one line; `details` are further lines; `figures` are for machines."""

    model: str
    rule: str
    conclusion: Conclusion
    says: str
    details: Sequence[str] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return finding_id(self.model, self.rule)


def finding_id(model: str, rule: str) -> str:
    """`gate::qwen3_8b::accuracy`: what the terminal, JUnit and --deselect call it."""
    return f"{GATE}::{model}::{rule}"


@dataclass(frozen=True)
class Evidence:
    """What a statistical rule saw, before all tests of the gate are corrected together.

    `tails` are one-sided p-values of worse and better; `large` says whether the change is at least the practical
    threshold in that direction; `settled`, that the interval excludes a change for the worse that matters;
    `to_decide`, what would decide if nothing does, given the level that a single test is left with.
    """

    model: str
    rule: str
    says: str
    tails: Tails
    large: tuple[bool, bool]
    settled: bool
    to_decide: Callable[[float], str]
    details: Sequence[str] = ()
    figures: dict[str, Any] = field(default_factory=dict)


Judged = Evidence | Finding


def conclude(judged: Iterable[Judged], alpha: float) -> list[Finding]:
    """Correct all tests together (Holm, one family) and turn every piece of evidence into a Finding.

    Accuracy weighs as much as all other rules together: it is what a gate is for, and must not become blind because
    many speeds are watched beside it.
    Improvements are corrected as a family of their own: they never fail anything, and are not claimed lightly.
    """
    every = list(judged)
    evidence = [one for one in every if isinstance(one, Evidence)]
    weights = weigh([one.rule for one in evidence])
    worse = holm([one.tails.worse for one in evidence], weights)
    better = holm([one.tails.better for one in evidence], weights)
    corrected = iter(zip(weights, worse, better, strict=True))
    total = sum(weights)
    return [
        _concluded(one, *next(corrected), alpha, total) if isinstance(one, Evidence) else one for one in every
    ]


def weigh(rules: Sequence[str]) -> list[float]:
    """Weights of tests by their rules: 1, and for accuracy what makes its total that of all others."""
    accuracy = sum(rule.startswith(ACCURACY) for rule in rules)
    heavy = max(1.0, (len(rules) - accuracy) / accuracy) if accuracy else 1.0
    return [heavy if rule.startswith(ACCURACY) else 1.0 for rule in rules]


def _concluded(
    evidence: Evidence, weight: float, worse: float, better: float, alpha: float, total: float
) -> Finding:
    adjusted, level = Tails(worse, better), alpha * weight / total
    conclusion, says = _outcome(evidence, adjusted, alpha), evidence.says
    if conclusion is Conclusion.INCONCLUSIVE:
        says = f"{says}; {evidence.to_decide(level)}"
    elif conclusion is Conclusion.REGRESSED:
        says = f"{says}; p = {adjusted.worse:.2g} after correction for every test of this gate"
    figures = {
        **evidence.figures,
        "p_worse": evidence.tails.worse,
        "p_worse_adjusted": adjusted.worse,
        "p_better": evidence.tails.better,
        "p_better_adjusted": adjusted.better,
    }
    return Finding(evidence.model, evidence.rule, conclusion, says, evidence.details, figures)


def _outcome(evidence: Evidence, adjusted: Tails, alpha: float) -> Conclusion:
    """A proven change counts even where it is smaller than the margin: small losses add up over releases."""
    if adjusted.worse <= alpha and evidence.large[0]:
        return Conclusion.REGRESSED
    if adjusted.better <= alpha and evidence.large[1]:
        return Conclusion.IMPROVED
    return Conclusion.UNCHANGED if evidence.settled else Conclusion.INCONCLUSIVE
