"""Does the gate keep its promises? Simulated comparisons through the code that judges real runs.

    python benchmarks/bench_gate.py [--comparisons 2000] [--seed 1] [--only TEXT]

A/A: five models, every rule, nothing changed; how many comparisons raise any false alarm (promised: at most 5 %).
Drops: one of the five models loses 8 points, others stay; how often that is found, and how often anything else is.

A model's problems have fixed chances to be solved, drawn once from a U-shaped distribution (most problems are
nearly always or nearly never solved, as in published samples of HumanEval); runs draw answers from them. Speeds
carry an effect of their run, normal on the log scale, of 0.5 to 3 % (drawn per model), shared by what a run
measures. Output lengths are log-normal per problem; answers without code and cut short have small chances each.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from pytest_llmeval.gate.baseline import Baseline
from pytest_llmeval.gate.figures import ModelFigures, RunFigures, Tally, Task
from pytest_llmeval.gate.findings import Conclusion, Finding
from pytest_llmeval.gate.judge import Gate, Scope
from pytest_llmeval.gate.measures import MEASURES
from pytest_llmeval.gate.rules import Policy

PROBLEMS = 164
MODELS = ("one", "two", "three", "four", "five")
RUN_EFFECTS = (0.005, 0.03)
CONDITIONS = {"device": "one"}


@dataclass(frozen=True)
class Simulated:
    """What a model is, as far as a run can see it."""

    rates: tuple[float, ...]
    lengths: tuple[float, ...]
    no_code: float
    truncated: float
    run_effect: float
    greedy: bool


def simulate(rng: random.Random, greedy: bool) -> Simulated:
    mean = rng.uniform(0.5, 0.9)
    return Simulated(
        rates=tuple(rng.betavariate(1.5 * mean, 1.5 * (1 - mean)) for _ in range(PROBLEMS)),
        lengths=tuple(rng.lognormvariate(4.5, 0.6) for _ in range(PROBLEMS)),
        no_code=rng.uniform(0, 0.03),
        truncated=rng.uniform(0, 0.05),
        run_effect=rng.uniform(*RUN_EFFECTS),
        greedy=greedy,
    )


def worse_by(model: Simulated, drop: float) -> Simulated:
    """The same with its mean rate down by `drop`: every problem's rate is multiplied."""
    kept = 1 - drop * PROBLEMS / math.fsum(model.rates)
    return Simulated(**{**vars(model), "rates": tuple(rate * kept for rate in model.rates)})


def run_of(model: Simulated, n: int, rng: random.Random, slower: float = 0.0) -> ModelFigures:
    tallies = {}
    for index, (rate, length) in enumerate(zip(model.rates, model.lengths, strict=True)):
        outcomes = Counter(_outcome(rate, model, rng) for _ in range(n))
        tokens = sum(length * rng.lognormvariate(0, 0.25) for _ in range(n)) / n
        tallies[Task("humaneval", f"HumanEval/{index}")] = Tally(
            n, outcomes["passed"], outcomes["no_code"], outcomes["truncated"], tokens
        )
    return ModelFigures(tallies, PROBLEMS, measures=_measures(model, rng, slower), conditions=CONDITIONS)


def _outcome(rate: float, model: Simulated, rng: random.Random) -> str:
    if rng.random() < rate:
        return "passed"
    drawn = rng.random()
    if drawn < model.no_code:
        return "no_code"
    return "truncated" if drawn < model.no_code + model.truncated else "failed"


def _measures(model: Simulated, rng: random.Random, slower: float) -> dict[str, float]:
    """One effect of the run on all its figures, and a smaller one of each figure's own."""
    shared = rng.gauss(slower, model.run_effect)
    return {
        name: math.exp((1 if measure.bigger_is_worse else -1) * (shared + rng.gauss(0, model.run_effect / 3)))
        for name, measure in MEASURES.items()
    }


def compare(seed: int, n: int, calibration: int, drop: float, slower: float) -> list[Finding]:
    """One comparison of five models; `drop` and `slower` happen to the first of them."""
    rng = random.Random(seed)
    models = {name: simulate(rng, n == 1) for name in MODELS}
    baseline = Baseline("simulated", [_run(models, n, rng) for _ in range(1)])
    more = [_run(models, 1, rng) for _ in range(calibration - 1)]  # only their speeds are used
    changed = dict(models)
    if drop:
        changed["one"] = worse_by(models["one"], drop)
    now = {name: run_of(model, n, rng, slower if name == "one" else 0.0) for name, model in changed.items()}
    gate = Gate(Policy(), Baseline("simulated", [*baseline.runs, *more]))
    return gate.judge(
        RunFigures("now", "", now), Scope(MODELS, {name: model.tallies for name, model in now.items()})
    )


def _run(models: dict[str, Simulated], n: int, rng: random.Random) -> RunFigures:
    return RunFigures("before", "", {name: run_of(model, n, rng) for name, model in models.items()})


# ------------------------------------------------------------------------------------------------ the table


@dataclass(frozen=True)
class Row:
    says: str
    n: int
    calibration: int
    drop: float = 0.0
    slower: float = 0.0


ROWS = (
    Row("A/A, one sample", 1, 5),
    Row("A/A, ten samples", 10, 5),
    Row("8 points lost, one sample", 1, 5, drop=0.08),
    Row("8 points lost, ten samples", 10, 5, drop=0.08),
    Row("3 points lost (the margin), one sample", 1, 5, drop=0.03),
    Row("3 points lost (the margin), ten samples", 10, 5, drop=0.03),
    Row("20 % slower, five runs", 1, 5, slower=math.log(1.2)),
    Row("20 % slower, twenty runs", 1, 20, slower=math.log(1.2)),
)


class Told(NamedTuple):
    """What one comparison came to. `accuracy`, `speed`: found in the changed model; `false`: anything else;
    `unchanged`: the changed model's accuracy was called so."""

    accuracy: bool
    speed: bool
    false: bool
    unchanged: bool
    conclusions: Counter[str]


def told(row: Row, seed: int) -> Told:
    findings = compare(seed, row.n, row.calibration, row.drop, row.slower)
    alarms = [f for f in findings if f.conclusion is Conclusion.REGRESSED]
    accuracy = any(f.model == "one" and f.rule == "accuracy" for f in alarms)
    speed = any(f.model == "one" and f.rule in MEASURES for f in alarms)
    false = any(f.model != "one" or not _was_changed(f, row) for f in alarms)
    unchanged = any(f.id == "gate::one::accuracy" and f.conclusion is Conclusion.UNCHANGED for f in findings)
    return Told(accuracy, speed, false, unchanged, Counter(str(f.conclusion) for f in findings))


def _was_changed(finding: Finding, row: Row) -> bool:
    """A wrong answer more is one more chance to hold no code or to be cut short: those may follow."""
    return (
        bool(row.slower) if finding.rule in MEASURES else bool(row.drop) and finding.rule != "output_length"
    )


def lines(rows: Iterable[Row], results: Callable[[Row], Iterable[Told]]) -> Iterator[str]:
    yield "| what is true | comparisons | found | called unchanged | a false alarm | inconclusive |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for row in rows:
        every = list(results(row))
        conclusions: Counter[str] = sum((one.conclusions for one in every), Counter())
        undecided = conclusions["inconclusive"] / sum(conclusions.values())
        found = [one.accuracy if row.drop else one.speed for one in every]
        yield (
            f"| {row.says} | {len(every)} | {share(found) if row.drop or row.slower else ''} | "
            f"{share([one.unchanged for one in every]) if row.drop else ''} | "
            f"{share([one.false for one in every])} | {100 * undecided:.0f} % |"
        )


def share(happened: Sequence[bool]) -> str:
    """With twice the standard error of a simulated share."""
    p = sum(happened) / len(happened)
    return f"{100 * p:.1f} ± {200 * math.sqrt(p * (1 - p) / len(happened)):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--comparisons", type=int, default=2000, help="of A/A; other rows take a quarter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name holds this")
    given = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor(given.processes) as pool:

        def results(row: Row) -> Iterable[Told]:
            count = given.comparisons // (4 if row.drop or row.slower else 1)
            seeds = range(given.seed * 1_000_000, given.seed * 1_000_000 + count)
            return pool.map(partial(told, row), seeds, chunksize=20)

        for line in lines([row for row in ROWS if given.only in row.says], results):
            print(line, flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
