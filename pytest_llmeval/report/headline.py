"""The report in one or two sentences: which model, how sure, what went wrong. Every word follows from a number."""

from __future__ import annotations

from pytest_llmeval.gate.paired import mcnemar
from pytest_llmeval.results import ModelResult, Status
from pytest_llmeval.runs import LoadedRun

SURE = 0.05  # below this p value two models are called different


def headline(run: LoadedRun) -> str:
    """One paragraph for someone who reads nothing else."""
    ranked = ranking(run.models)
    if not ranked:
        nothing = "No model was judged on any problem." if any(m.selected for m in run.models) else ""
        return f"{nothing} {_troubles(run.models)}".strip() or "No problem was asked in this run."
    best = ranked[0]
    parts = [_about_best(best), _about_runner_up(run, ranked), _troubles(run.models)]
    return " ".join(part for part in parts if part)


def ranking(models: tuple[ModelResult, ...]) -> list[ModelResult]:
    """Models with a pass@1 over all they were asked, best first; without any such, those with a part."""
    judged = [model for model in models if model.summary.pass_at_1 is not None]
    whole = [model for model in judged if model.status is Status.COMPLETE]
    return sorted(whole or judged, key=lambda model: -(model.summary.pass_at_1 or 0.0))


def _about_best(best: ModelResult) -> str:
    figures = best.summary
    low, high = figures.pass_at_1_interval or (0.0, 1.0)
    part = f" of {best.selected}" if figures.judged < best.selected else ""
    speed = figures.single_stream.output_tok_s
    return (
        f"{best.spec.name} has pass@1 {100 * (figures.pass_at_1 or 0):.1f} % (95 % interval {100 * low:.1f} to "
        f"{100 * high:.1f} %) on {figures.judged}{part} problems"
        + (f", at {speed:.0f} tok/s in a single stream." if speed else ".")
    )


def _about_runner_up(run: LoadedRun, ranked: list[ModelResult]) -> str:
    if len(ranked) < 2:
        return ""
    best, second = ranked[0].spec.name, ranked[1].spec.name
    won, lost = duel(run, best, second)
    p = sign_test(won, lost)
    score = f"{won} problems better, {lost} worse, p = {p:.2g}"
    if p < SURE:
        return f"It is ahead of {second} ({score})."
    return f"This run does not tell it apart from {second} ({score})."


def duel(run: LoadedRun, one: str, other: str) -> tuple[int, int]:
    """On how many problems that both were judged on `one` has the higher share of right samples, and the lower."""
    shares = [
        {(r.problem_set, r.task_id): r.correct / r.judged for r in run.of(name) if r.judged}
        for name in (one, other)
    ]
    both = shares[0].keys() & shares[1].keys()
    won = sum(shares[0][problem] > shares[1][problem] for problem in both)
    lost = sum(shares[0][problem] < shares[1][problem] for problem in both)
    return won, lost


def sign_test(won: int, lost: int) -> float:
    """Two-sided exact p value of `won` against `lost`; with one sample a problem it is McNemar's exact test."""
    tails = mcnemar(lost, won)
    return min(1.0, 2 * min(tails.worse, tails.better))


def _troubles(models: tuple[ModelResult, ...]) -> str:
    said = []
    for status, words in (
        (Status.FAULTED, "had faults"),
        (Status.INCOMPLETE, "did not finish"),
        (Status.UNAVAILABLE, "could not run on this machine"),
    ):
        names = [model.spec.name for model in models if model.status is status]
        if names:
            said.append(f"{', '.join(names)} {words}")
    return f"{'; '.join(said)}." if said else ""
