"""The report in one or two sentences: which model, how sure, what went wrong. Every word follows from a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_llmeval.gate.paired import mcnemar
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import TOLERATED, Line, ModelResult, Status

SURE = 0.05  # below this p value two models are called different
Named = Callable[[str], str]
"""How a report writes the name of a model, a problem set or a problem."""


def headline(run: LoadedRun, named: Named = str) -> str:
    """One paragraph for someone who reads nothing else."""
    return " ".join(headlines(run, named))


def headlines(run: LoadedRun, named: Named = str) -> list[str]:
    """The same in parts: one for each problem set, because right answers to different sets have no mean."""
    troubles, missing = _troubles(run.models, named), what_is_missing(run, named)
    if not run.problem_sets:
        return [troubles or "No problem was asked in this run."]
    told = [_about_set(run, problem_set, named) for problem_set in run.problem_sets]
    if len(told) == 1:
        return [" ".join(filter(None, [missing, told[0], troubles]))]
    return [
        *filter(None, [missing]),
        *(f"{named(name)}: {said}" for name, said in zip(run.problem_sets, told, strict=True)),
        *filter(None, [troubles]),
    ]


def _about_set(run: LoadedRun, problem_set: str, named: Named) -> str:
    ranked = ranking(run, problem_set)
    if not ranked:
        return "No model was judged on any problem."
    return " ".join(filter(None, [_about_best(ranked[0], named), _about_runner_up(run, ranked, named)]))


def ranking(run: LoadedRun, problem_set: str) -> list[Line]:
    """Models with a pass@1 over all they were asked of a set, best first; without any such, those with a part."""
    judged = [
        line for line in run.lines if line.problem_set == problem_set and line.figures.pass_at_1 is not None
    ]
    whole = [line for line in judged if line.status.is_whole]
    return sorted(whole or judged, key=lambda line: -(line.figures.pass_at_1 or 0.0))


def what_is_missing(run: LoadedRun, named: Named = str) -> str:
    """Of a run that was put together: which parts of it are not there; empty where nothing is missing."""
    merged = run.manifest.get("merged") or {}
    rows = merged.get("missing") or ()
    if not rows:
        return ""
    shards = merged.get("missing_shards") or ()
    lost = f"shard {', '.join(shards)} is missing, and with it " if shards else ""
    told = [
        f"{counted(len(row['tasks']), 'problem')} of {named(row['problem_set'])} ({_some(row['tasks'], named)}) for "
        f"{', '.join(map(named, row['models']))}"
        for row in rows
    ]
    return f"INCOMPLETE: {lost or 'not answered: '}{'; '.join(told)}."


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _some(tasks: Sequence[str], named: Named, shown: int = 3) -> str:
    more = f" and {len(tasks) - shown} more" if len(tasks) > shown else ""
    return f"{', '.join(map(named, tasks[:shown]))}{more}"


def _about_best(best: Line, named: Named) -> str:
    figures = best.figures
    low, high = figures.pass_at_1_interval or (0.0, 1.0)
    part = f" of {figures.selected}" if figures.judged < figures.selected else ""
    speed = best.model.summary.single_stream.output_tok_s
    return (
        f"{named(best.name)} has pass@1 {100 * (figures.pass_at_1 or 0):.1f} % (95 % interval {100 * low:.1f} to "
        f"{100 * high:.1f} %) on {figures.judged}{part} "
        f"problem{'' if figures.judged == 1 and not part else 's'}"
        + (f", at {speed:.0f} tok/s in a single stream." if speed else ".")
    )


def _about_runner_up(run: LoadedRun, ranked: list[Line], named: Named) -> str:
    if len(ranked) < 2:
        return ""
    best, second = ranked[:2]
    won, lost = duel(run, best, second)
    score = f"{counted(won, 'problem')} better, {lost} worse, p = {sign_test(won, lost):.2g}"
    if is_ahead(won, lost):
        return f"It is ahead of {named(second.name)} ({score})."
    if is_ahead(lost, won):
        return f"{named(second.name)} is better on more problems, though not in the mean ({score})."
    return f"This run does not tell it apart from {named(second.name)} ({score})."


def duel(run: LoadedRun, one: Line, other: Line) -> tuple[int, int]:
    """On how many problems that both were judged on `one` has the higher share of right samples, and the lower."""
    shares = [
        {r.task_id: r.correct / r.judged for r in run.of(line.name, line.problem_set) if r.judged}
        for line in (one, other)
    ]
    both = shares[0].keys() & shares[1].keys()
    won = sum(shares[0][problem] > shares[1][problem] for problem in both)
    lost = sum(shares[0][problem] < shares[1][problem] for problem in both)
    return won, lost


def sign_test(won: int, lost: int) -> float:
    """Two-sided exact p value of `won` against `lost`; with one sample a problem it is McNemar's exact test."""
    tails = mcnemar(lost, won)
    return min(1.0, 2 * min(tails.worse, tails.better))


def is_ahead(won: int, lost: int) -> bool:
    """True where `won` against `lost` problems is no chance. With several samples the mean may say otherwise: much
    better on a few problems, a little worse on many."""
    return won > lost and sign_test(won, lost) < SURE


def _troubles(models: tuple[ModelResult, ...], named: Named) -> str:
    lost = f"lost more than {100 * TOLERATED:g} % of {{}} answers to faults or the length limit (status degraded)"
    said = []
    for status, words in (
        (Status.FAULTED, "had faults"),
        (Status.DEGRADED, lost),
        (Status.INCOMPLETE, "did not finish"),
        (Status.UNAVAILABLE, "could not run on this machine"),
    ):
        names = [named(model.spec.name) for model in models if model.status is status]
        if names:
            said.append(f"{', '.join(names)} {words.format('its' if len(names) == 1 else 'their')}")
    return f"{'; '.join(said)}." if said else ""
