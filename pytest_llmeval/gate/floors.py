"""Absolute rules: floors of pass@k, and how many problems may end in a fault."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_llmeval.gate.figures import ModelFigures, Tally
from pytest_llmeval.gate.findings import Conclusion, Finding
from pytest_llmeval.gate.rules import FaultRule, Floor
from pytest_llmeval.metrics.pass_at_k import pass_at_k


def judge_floor(model: str, floor: Floor, tallies: Iterable[Tally]) -> Finding:
    """Hold pass@k, or the lower end of its 95 % interval (the one the leaderboard shows), against a floor."""
    counts = [(tally.n, tally.passed) for tally in tallies]
    estimate = pass_at_k(counts, floor.k)
    if estimate is None:
        fewest = min((n for n, _ in counts), default=0)
        says = f"pass@{floor.k} needs {floor.k} samples a problem; one has {fewest}"
        return Finding(model, str(floor), Conclusion.NOT_JUDGED, says)
    value = estimate.interval[0] if floor.lower else estimate.value
    holds = value >= floor.least
    says = (
        f"{floor.name} is {100 * value:.1f} % on {len(counts)} problem{'s' if len(counts) > 1 else ''}, "
        f"{'at or above' if holds else 'below'} its floor of {100 * floor.least:g} %"
    )
    conclusion = Conclusion.UNCHANGED if holds else Conclusion.REGRESSED
    return Finding(model, str(floor), conclusion, says, figures={"value": value, "problems": len(counts)})


def judge_faults(model: str, rule: FaultRule, figures: ModelFigures) -> Finding:
    """A problem that ended in a fault was not judged: it must not vanish from a comparison unnoticed."""
    share = 100 * figures.faults / max(1, figures.selected)
    problems = f"{figures.faults} of {figures.selected} problems ended in a fault"
    numbers = {"faults": figures.faults, "selected": figures.selected}
    if share > rule.max:
        says = f"{problems}, allowed are {rule.max:g} %"
        details = [figures.reason.splitlines()[0]] if figures.reason else []
        return Finding(model, "faults", Conclusion.REGRESSED, says, details, figures=numbers)
    return Finding(model, "faults", Conclusion.UNCHANGED, problems, figures=numbers)
