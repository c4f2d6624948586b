"""Absolute rules: floors of pass@k, and how many problems may end in a fault."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist, fmean, stdev

from pytest_llmeval.gate.figures import ModelFigures, Tally
from pytest_llmeval.gate.findings import Conclusion, Finding
from pytest_llmeval.gate.rules import FaultRule, Floor
from pytest_llmeval.metrics.intervals import wilson


def judge_floor(model: str, floor: Floor, tallies: Iterable[Tally]) -> Finding:
    """Hold pass@k, or the lower end of its 95 % interval, against a floor."""
    every = list(tallies)
    rule, judged = str(floor), f"on {len(every)} problem{'s' if len(every) > 1 else ''}"
    fewest = min((tally.n for tally in every), default=0)
    if fewest < floor.k:
        says = f"pass@{floor.k} needs {floor.k} samples a problem; one has {fewest}"
        return Finding(model, rule, Conclusion.NOT_JUDGED, says)
    estimate = fmean(pass_at_k(tally.n, tally.passed, floor.k) for tally in every)
    value = lower_end(every, floor.k) if floor.lower else estimate
    holds = value >= floor.least
    says = (
        f"{floor.name} is {100 * value:.1f} % {judged}, {'at or above' if holds else 'below'} "
        f"its floor of {100 * floor.least:g} %"
    )
    conclusion = Conclusion.UNCHANGED if holds else Conclusion.REGRESSED
    return Finding(model, rule, conclusion, says, figures={"value": value, "problems": len(every)})


def pass_at_k(n: int, passed: int, k: int) -> float:
    """Chance that one of k drawn samples passed: 1 - C(n - c, k) / C(n, k). Chen et al. 2021, arXiv 2107.03374."""
    return 1 - math.comb(n - passed, k) / math.comb(n, k)


def lower_end(tallies: list[Tally], k: int) -> float:
    """Lower end of the 95 % interval of pass@k over problems like these.

    Wilson's interval where each problem has one sample; otherwise mean - 1.96 s / sqrt(m) over the problems'
    values, which are the independent units (Miller 2024, arXiv 2411.00640, section 2.2).
    """
    if all(tally.n == 1 for tally in tallies):
        bounds = wilson(sum(tally.passed for tally in tallies), len(tallies))
        return bounds[0] if bounds else 0.0
    values = [pass_at_k(tally.n, tally.passed, k) for tally in tallies]
    if len(values) < 2:
        return 0.0
    return max(0.0, fmean(values) - NormalDist().inv_cdf(0.975) * stdev(values) / math.sqrt(len(values)))


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
