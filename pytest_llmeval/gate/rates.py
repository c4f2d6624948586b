"""Rules on shares of samples, paired by problem: passes, answers without code, answers cut short."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

from pytest_llmeval.gate.figures import Tallies, Tally, Task
from pytest_llmeval.gate.findings import Conclusion, Evidence, Finding, Judged
from pytest_llmeval.gate.paired import Interval, Pair, interval, mean_difference, permutation, tango
from pytest_llmeval.gate.rules import RateRule
from pytest_llmeval.schema.tasks import natural_order

NAMED_PROBLEMS = 20
MOST_SAMPLES, MOST_PROBLEMS = 200, 10_000  # nobody will take more of either


class Share(NamedTuple):
    """A share of samples. `good` turns a Tally into how many samples count for the model."""

    rule: str
    says: str
    counts_for: bool

    def good(self, tally: Tally) -> int:
        if self.rule == "accuracy":
            return tally.passed
        return tally.n - (tally.no_code if self.rule == "no_code" else tally.truncated)


SHARES = (
    Share("accuracy", "pass@1", True),
    Share("no_code", "answers without code", False),
    Share("truncated", "answers cut short", False),
)


def judge_share(
    share: Share,
    model: str,
    rule: RateRule,
    before: Tallies,
    after: Tallies,
    confidence: float,
    greedy: bool,
) -> Judged:
    """Compare one share on the problems that both runs judged."""
    common = [task for task in after if task in before]
    if not common:
        return Finding(model, share.rule, Conclusion.NOT_JUDGED, "no problem was judged in both runs")
    pairs = [
        Pair(before[task].n, share.good(before[task]), after[task].n, share.good(after[task]))
        for task in common
    ]
    change, bounds = mean_difference(pairs), interval(pairs, confidence)
    margin, threshold = rule.margin / 100, rule.threshold / 100
    return Evidence(
        model=model,
        rule=share.rule,
        says=f"{_change(share, pairs, bounds)} {_extent(before, after, common)}{_tossed(share, pairs)}",
        tails=permutation(pairs),
        large=(change <= -threshold, change >= threshold),
        settled=bounds.low > -margin,
        to_decide=lambda level: more_samples(pairs, bounds, margin, threshold, confidence, level, greedy),
        details=named_problems(share, before, after, common),
        figures={
            "problems": len(common),
            "change": change if share.counts_for else -change,
            "interval": list(bounds) if share.counts_for else [-bounds.high, -bounds.low],
            **changed_problems(share, before, after, common),
        },
    )


# ------------------------------------------------------------------------------------------------- in words


def _change(share: Share, pairs: Sequence[Pair], bounds: Interval) -> str:
    """`pass@1 80.5 % → 73.2 % (-7.3 points, between -11.9 and -2.7)`."""
    before = math.fsum(p.c0 / p.n0 for p in pairs) / len(pairs)
    after = math.fsum(p.c1 / p.n1 for p in pairs) / len(pairs)
    low, high = bounds
    if not share.counts_for:
        before, after, low, high = 1 - before, 1 - after, -high, -low
    return (
        f"{share.says} {100 * before:.1f} % → {100 * after:.1f} % "
        f"({100 * (after - before):+.1f} points, between {100 * low:+.1f} and {100 * high:+.1f})"
    )


def _extent(before: Tallies, after: Tallies, common: Sequence[Task]) -> str:
    """`on 164 problems`, or `judged 20 of 164`."""
    new = f", {len(after) - len(common)} more are new" if len(after) > len(common) else ""
    if len(common) < len(before):
        return f"judged {len(common)} of {len(before)}{new}"
    return f"on {len(common)} problem{'s' if len(common) > 1 else ''}{new}"


def _tossed(share: Share, pairs: Sequence[Pair]) -> str:
    if share.rule != "accuracy" or any(pair.n0 > 1 or pair.n1 > 1 for pair in pairs):
        return ""
    return f": lost {sum(p.c0 > p.c1 for p in pairs)}, won {sum(p.c1 > p.c0 for p in pairs)}"


def changed_problems(
    share: Share, before: Tallies, after: Tallies, common: Iterable[Task]
) -> Mapping[str, list[str]]:
    """Ids of the problems that got worse and better, those that changed most first."""

    def change(task: Task) -> float:
        return share.good(after[task]) / after[task].n - share.good(before[task]) / before[task].n

    changes = {task: change(task) for task in sorted(common, key=natural_order)}
    worse = sorted((t for t, c in changes.items() if c < 0), key=lambda t: changes[t])
    better = sorted((t for t, c in changes.items() if c > 0), key=lambda t: -changes[t])
    return {"worse": [t.task_id for t in worse], "better": [t.task_id for t in better]}


def named_problems(share: Share, before: Tallies, after: Tallies, common: Sequence[Task]) -> list[str]:
    """`newly failed: HumanEval/3, HumanEval/9 …`; with several samples, with their counts."""
    by_id = {task.task_id: task for task in common}
    words = ("newly failed", "fixed") if share.rule == "accuracy" else ("more often", "less often")
    changed = changed_problems(share, before, after, common)
    lines = []
    for word, ids in zip(words, (changed["worse"], changed["better"]), strict=True):
        if ids:
            shown = ", ".join(
                _counted(share, i, before[by_id[i]], after[by_id[i]]) for i in ids[:NAMED_PROBLEMS]
            )
            more = f" and {len(ids) - NAMED_PROBLEMS} more" if len(ids) > NAMED_PROBLEMS else ""
            lines.append(f"{word}: {shown}{more}")
    return lines


def _counted(share: Share, task_id: str, before: Tally, after: Tally) -> str:
    if before.n == after.n == 1:
        return task_id
    b, a = share.good(before), share.good(after)
    if not share.counts_for:
        b, a = before.n - b, after.n - a
    return f"{task_id} ({b}/{before.n} → {a}/{after.n})"


# --------------------------------------------------------------------------------------- what would decide


def more_samples(
    pairs: Sequence[Pair],
    bounds: Interval,
    margin: float,
    threshold: float,
    confidence: float,
    level: float,
    greedy: bool,
) -> str:
    """How many samples or problems would decide, if the change stays as it is."""
    n, m = max(max(pair.n0, pair.n1) for pair in pairs), len(pairs)
    samples, problems = _to_settle(pairs, bounds, margin, confidence)
    change = mean_difference(pairs)
    if change < 0 and change <= -threshold:
        normal = NormalDist()
        wider = normal.inv_cdf(1 - level) / normal.inv_cdf(confidence)
        factor = ((change - bounds.low) * wider / change) ** 2
        samples, problems = min(samples, n * factor), min(problems, m * factor)
    warm = " at a temperature above 0" if greedy else ""
    ways = []
    if samples <= MOST_SAMPLES:
        ways.append(f"{max(n + 1, math.ceil(samples))} samples a problem (now {n}){warm} in both runs")
    if problems <= MOST_PROBLEMS:
        ways.append(f"{max(m + 1, math.ceil(problems))} problems (now {m})")
    if not ways:
        return "the change lies so near the margin that no reasonable number of samples would decide"
    return f"about {', or '.join(ways)}{',' if len(ways) > 1 else ''} would decide"


def _to_settle(
    pairs: Sequence[Pair], bounds: Interval, margin: float, confidence: float
) -> tuple[float, float]:
    """Samples a problem, and problems, with which the interval would exclude the margin; infinite where none would.

    With one sample by the intervals themselves: where next to nothing changed they shrink faster than 1/sqrt(n).
    """
    change = mean_difference(pairs)
    if change <= -margin:
        return math.inf, math.inf
    m = len(pairs)
    if all(pair.n0 == pair.n1 == 1 for pair in pairs):
        lost, won = (sum(sign * (p.c0 - p.c1) > 0 for p in pairs) / m for sign in (1, -1))
        return (
            _first(2, MOST_SAMPLES, lambda n: interval(_repeated(pairs, n), confidence).low > -margin),
            _first(m + 1, MOST_PROBLEMS, lambda m: tango(lost * m, won * m, m, confidence).low > -margin),
        )
    factor = ((change - bounds.low) / (change + margin)) ** 2
    n = max(max(pair.n0, pair.n1) for pair in pairs)
    return n * factor, m * factor


def _repeated(pairs: Sequence[Pair], n: int) -> list[Pair]:
    return [Pair(n, n * pair.c0, n, n * pair.c1) for pair in pairs]


def _first(least: int, most: int, decides: Callable[[int], bool]) -> float:
    """The smallest number that decides; what decides with some decides with more."""
    candidates = range(least, most + 1)
    index = bisect_left(candidates, True, key=decides)
    return candidates[index] if index < len(candidates) else math.inf
