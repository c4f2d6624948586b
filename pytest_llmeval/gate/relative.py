"""Rules on figures that may get worse by a percentage: speed, energy and memory by run, output length by problem.

Everything is compared on the logarithm, signed so that up is worse: a percentage is the same up and down, and
what differs from run to run (clocks, temperature, neighbours) multiplies.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence

from pytest_llmeval.gate.figures import Tallies
from pytest_llmeval.gate.findings import Conclusion, Evidence, Finding, Judged
from pytest_llmeval.gate.measures import MEASURES, Measure
from pytest_llmeval.gate.paired import Tails
from pytest_llmeval.gate.rules import RelativeRule
from pytest_llmeval.gate.student import Prediction, predict, t_mean, t_quantile
from pytest_llmeval.units import GIB

LEAST_RUNS = 5
NOISE = "would tell what is noise"
MOST_RUNS = 200
MOST_PROBLEMS = 10_000  # nobody will ask more
MOST_TOLD = math.log(100)  # of a bound: a hundredfold
LENGTH = Measure("output tokens per answer", "tokens", True)


def judge_measure(
    name: str,
    model: str,
    rule: RelativeRule,
    before: Sequence[float],
    after: float | None,
    confidence: float,
    incomparable: Sequence[str] = (),
) -> Judged:
    """Compare one run's figure with those of the baseline's runs, and with the rule's limits.

    Args:
        before: one figure per run of the baseline.
        after: this run's figure; None: not measured.
        incomparable: which conditions differ from the baseline's.
    """
    measure = MEASURES[name]
    if after is None:
        return Finding(model, name, Conclusion.NOT_JUDGED, f"{measure.says}: not measured in this run")
    if broken := beyond_limit(rule, measure, after):
        return Finding(model, name, Conclusion.REGRESSED, broken, figures={"value": after})
    within = within_limit(rule, measure, after)
    if incomparable:
        return within_or(within, model, name, Conclusion.NOT_COMPARABLE, f"{measure.says}: {incomparable[0]}",
                         incomparable[1:])  # fmt: skip
    if not before:
        return within_or(
            within, model, name, Conclusion.NOT_JUDGED, f"{measure.says}: not measured in the baseline"
        )
    if len(before) < LEAST_RUNS:
        missing = LEAST_RUNS - len(before)
        says = (
            f"{_shift(measure, before, after)}; {missing} more calibration run{'s' if missing > 1 else ''} of the "
            f"baseline {NOISE}"
        )
        return within_or(within, model, name, Conclusion.INCONCLUSIVE, says)
    return _evidence(name, model, rule, before, after, confidence)


def within_or(
    within: str, model: str, name: str, conclusion: Conclusion, says: str, details: Sequence[str] = ()
) -> Finding:
    """An absolute limit that holds decides where nothing else can."""
    if within:
        return Finding(model, name, Conclusion.UNCHANGED, within)
    return Finding(model, name, conclusion, says, details)


def _evidence(
    name: str, model: str, rule: RelativeRule, before: Sequence[float], after: float, confidence: float
) -> Evidence:
    measure = MEASURES[name]
    sign = 1 if measure.bigger_is_worse else -1
    prediction = predict([sign * math.log(value) for value in before])
    gap = sign * math.log(after) - prediction.mean
    large = worse_by(measure, rule.threshold)
    runs = len(before)
    return Evidence(
        model=model,
        rule=name,
        says=f"{_shift(measure, before, after)}, runs vary by {_spread(prediction, runs)}",
        tails=Tails(
            prediction.tail_above(prediction.mean + gap), prediction.tail_below(prediction.mean + gap)
        ),
        large=(gap >= large, gap <= -large),
        settled=gap + prediction.reach(confidence) < large,
        to_decide=lambda level: more_runs(prediction, runs, gap, large, confidence, level),
        figures={
            "value": after,
            "baseline": list(before),
            "change": (math.exp(sign * gap) - 1),
        },
    )


def worse_by(measure: Measure, percent: float) -> float:
    """A threshold on the scale where up is worse: 5 % more time, or 5 % less speed."""
    share = percent / 100
    return math.log1p(share) if measure.bigger_is_worse else -math.log1p(-min(share, 0.999))


def beyond_limit(rule: RelativeRule, measure: Measure, value: float) -> str:
    if rule.max is not None and value > rule.max:
        return f"{measure.says} is {number(value, measure)}, above its limit of {number(rule.max, measure)}"
    if rule.min is not None and value < rule.min:
        return f"{measure.says} is {number(value, measure)}, below its limit of {number(rule.min, measure)}"
    return ""


def within_limit(rule: RelativeRule, measure: Measure, value: float) -> str:
    limits = [number(limit, measure) for limit in (rule.min, rule.max) if limit is not None]
    return (
        f"{measure.says} is {number(value, measure)}, within its limit of {' and '.join(limits)}"
        if limits
        else ""
    )


def number(value: float, measure: Measure) -> str:
    if measure.unit == "bytes":
        return f"{value / GIB:.2f} GiB"
    # A GPU's batch gives tens of thousands of tokens a second, which .4g would write as 2.346e+04.
    return f"{value:.4g} {measure.unit}" if value < 1000 else f"{value:.0f} {measure.unit}"


def _shift(measure: Measure, before: Sequence[float], after: float) -> str:
    usual = math.exp(math.fsum(map(math.log, before)) / len(before))
    return f"{measure.says} {number(usual, measure)} → {number(after, measure)} ({100 * (after / usual - 1):+.1f} %)"


def _spread(prediction: Prediction, runs: int) -> str:
    return f"{100 * math.expm1(_deviation(prediction, runs)):.1f} % ({runs} runs)"


def _deviation(prediction: Prediction, runs: int) -> float:
    return prediction.error / math.sqrt(1 + 1 / runs)


def more_runs(
    prediction: Prediction, runs: int, gap: float, large: float, confidence: float, level: float
) -> str:
    """How many calibration runs would decide, if this run's figure and the spread stay as they are."""
    deviation = _deviation(prediction, runs)

    def decides(more: int) -> bool:
        error = deviation * math.sqrt(1 + 1 / more)
        is_settled = gap + t_quantile(confidence, more - 1) * error < large
        return is_settled or (gap >= large and gap > t_quantile(1 - level, more - 1) * error)

    # What decides with some runs decides with more of them.
    candidates = range(runs + 1, MOST_RUNS + 1)
    if (index := bisect_left(candidates, True, key=decides)) < len(candidates):
        more = candidates[index] - runs
        return f"about {more} more calibration run{'s' if more > 1 else ''} (now {runs}) would decide"
    least = t_quantile(confidence, MOST_RUNS) * deviation
    held = f" (one above {100 * math.expm1(least):.1f} % could be held)" if least < MOST_TOLD else ""
    return f"no number of calibration runs would decide: runs vary too much for this threshold{held}"


# ---------------------------------------------------------------------------------------- length of answers


def judge_length(
    model: str, rule: RelativeRule, before: Tallies, after: Tallies, confidence: float
) -> Judged:
    """Compare output lengths by problem: t test on the mean log ratio, one value per problem.

    Lengths are counted plus one, so that an empty answer has a logarithm.
    """
    name = "output_length"
    lengths = [t.tokens for t in after.values() if t.tokens is not None]
    if not lengths:
        return Finding(model, name, Conclusion.NOT_JUDGED, "output tokens were not counted in this run")
    mean = math.fsum(lengths) / len(lengths)
    if broken := beyond_limit(rule, LENGTH, mean):
        return Finding(model, name, Conclusion.REGRESSED, broken, figures={"value": mean})
    ratios = _log_ratios(before, after)
    if len(ratios) < 2:
        return within_or(
            within_limit(rule, LENGTH, mean), model, name, Conclusion.NOT_JUDGED,
            "output tokens of fewer than two problems were counted in both runs",
        )  # fmt: skip
    estimate = t_mean(ratios)
    nothing = estimate._replace(mean=0.0)
    large = worse_by(LENGTH, rule.threshold)
    return Evidence(
        model=model,
        rule=name,
        says=f"{LENGTH.says} {_percent(estimate.mean)} % on {len(ratios)} problems "
        f"(between {_percent(estimate.mean - estimate.reach(confidence))} and "
        f"{_percent(estimate.mean + estimate.reach(confidence))} %)",
        tails=Tails(nothing.tail_above(estimate.mean), nothing.tail_below(estimate.mean)),
        large=(estimate.mean >= large, estimate.mean <= -large),
        settled=estimate.mean + estimate.reach(confidence) < large,
        to_decide=_more_lengths(estimate, large, confidence, len(ratios)),
        figures={"change": math.expm1(estimate.mean), "problems": len(ratios)},
    )


def _percent(log_ratio: float) -> str:
    """`+12.3`; two problems that differ much allow anything, and a bound of many digits would say nothing else."""
    if log_ratio > MOST_TOLD:
        return f"more than {100 * math.expm1(MOST_TOLD):+.0f}"
    return f"{100 * math.expm1(log_ratio):+.1f}"


def _log_ratios(before: Tallies, after: Tallies) -> list[float]:
    return [
        math.log((now.tokens + 1) / (then.tokens + 1))
        for task, now in after.items()
        if (then := before.get(task)) and now.tokens is not None and then.tokens is not None
    ]


def _more_lengths(
    estimate: Prediction, large: float, confidence: float, problems: int
) -> Callable[[float], str]:
    def to_decide(level: float) -> str:
        is_large = estimate.mean >= large
        reach = estimate.reach(1 - level if is_large else confidence)
        gap = estimate.mean if is_large else large - estimate.mean
        needed = max(problems + 1, math.ceil(problems * (reach / gap) ** 2))
        if needed > MOST_PROBLEMS:
            return "lengths vary so much that no reasonable number of problems would decide"
        return f"about {needed} problems (now {problems}), or as many times more samples, would decide"

    return to_decide
