"""What a run was not able to tell, and what follows from what it told: each by a rule that is stated with it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmeval.metrics.summary import SetFigures
from pytest_llmeval.report.headline import SURE, counted, duel, is_ahead, ranking
from pytest_llmeval.report.text import code
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import TOLERATED, Line, ModelResult, Status

# The rules' limits; a rule's sentence names the one it used.
MANY = 0.02  # of the samples
MEMORISED = 0.2
WIDE = 0.15  # of an interval, in pass@1


def limitations(run: LoadedRun) -> list[str]:
    """What must be known before the figures are believed."""
    found = [line for model in run.models for line in _of_model(run, model)]
    sandbox = (run.manifest.get("sandbox") or {}).get("level")
    if sandbox and sandbox != "A":
        found.append(f"Programs ran at sandbox level {code(sandbox)}, which holds less than level A.")
    return found


def _of_model(run: LoadedRun, model: ModelResult) -> Iterator[str]:
    name, figures = code(model.spec.name), model.summary
    if model.status is not Status.COMPLETE:
        told = model.reason.splitlines() if model.status is Status.DEGRADED else model.reason.splitlines()[:1]
        reason = f": {code('; '.join(told))}" if told else ""
        yield f"{name} is {model.status}, {figures.judged} of {model.selected} problems were judged{reason}."
    elif figures.faults:
        yield f"{name}: {figures.faults} of {model.selected} problems could not be judged."
    for where, one in _of_sets(model):
        told_as_its_reason = model.status is Status.DEGRADED and (one.truncated or 0) > TOLERATED
        if one.truncated and not told_as_its_reason:
            share = _share(one.truncated)
            yield f"{name}{where}: {share} of the answers failed after being cut at their length limit."
    if cut := sum(any(s.completion.cut for s in record.samples) for record in run.of(model.spec.name)):
        yield f"{name}: {counted(cut, 'prompt')} {'was' if cut == 1 else 'were'} cut to fit the model."
    if figures.reused:
        answers = f"{counted(figures.reused, 'answer')} {'is' if figures.reused == 1 else 'are'}"
        yield f"{name}: {answers} of an earlier run; speeds speak of the others only."
    if figures.judged and figures.single_stream.response_s is None:
        yield f"{name}: response time and output speed of a single stream were not measured."


def recommendations(run: LoadedRun) -> list[str]:
    """What to do next."""
    which = (line for problem_set in run.problem_sets for line in _which_model(run, problem_set))
    return [*which, *(line for model in run.models for line in _about(model))]


def _which_model(run: LoadedRun, problem_set: str) -> Iterator[str]:
    ranked = ranking(run, problem_set)
    if len(ranked) < 2 or not ranked[0].status.is_whole:
        return
    best, others = ranked[0], ranked[1:]
    level = [line for line in others if not is_ahead(*duel(run, best, line))]
    several = len(run.problem_sets) > 1
    if not level:
        on = f" on {code(problem_set)}" if several else ""
        yield (
            f"For quality{on} take {code(best.name)} (rule: highest pass@1, and ahead of every other model that was "
            f"judged with p < {SURE} over the problems)."
        )
        return
    names = ", ".join(code(line.name) for line in [best, *level])
    which = f"pass@1 on {code(problem_set)}" if several else "pass@1"
    yield (
        f"Do not choose between {names} by this run's {which} (rule: the highest is not ahead of the others with "
        f"p < {SURE} over the problems); more problems or samples may tell them apart."
    )
    yield from _by_speed([best, *level])


def _by_speed(lines: list[Line]) -> Iterator[str]:
    speeds = {line.name: line.model.summary.single_stream.output_tok_s for line in lines}
    known = {name: speed for name, speed in speeds.items() if speed is not None}
    if len(known) == len(lines):
        name = code(max(known, key=lambda name: known[name]))
        yield f"Of these {name} has the highest output speed (rule: single stream, tokens per second)."


def _of_sets(model: ModelResult) -> Iterator[tuple[str, SetFigures]]:
    """Each of a model's problem sets, and how to name it: not at all where there is no other."""
    several = len(model.problem_sets) > 1
    for name, figures in model.problem_sets.items():
        yield f" on {code(name)}" if several else "", figures


def _about(model: ModelResult) -> Iterator[str]:
    name = code(model.spec.name)
    if model.status is Status.FAULTED:
        yield f"Mend what broke {name} and run it again with `--llmeval-resume` (rule: status faulted)."
    elif model.summary.faults:
        yield f"Judge what could not be judged of {name} with `--llmeval-resume` (rule: faults without a verdict)."
    for where, figures in _of_sets(model):
        yield from _about_answers(f"{name}{where}", figures)


def _about_answers(name: str, figures: SetFigures) -> Iterator[str]:
    if (figures.truncated or 0) > TOLERATED:
        yield f"Raise `max_tokens` of {name} (rule: more than {_share(TOLERATED)} of the answers were cut short)."
    if (figures.no_code or 0) > MANY:
        yield (
            f"Look at the prompt style and chat template of {name} (rule: more than {_share(MANY)} of the answers "
            "hold no code)."
        )
    if (figures.exact_match or 0) > MEMORISED:
        yield (
            f"Judge {name} on another problem set too (rule: more than {_share(MEMORISED)} of its answers are the "
            "canonical solution, so it may have memorised this one)."
        )
    low, high = figures.pass_at_1_interval or (0.0, 0.0)
    if high - low > WIDE:
        yield f"Ask {name} more problems before deciding (rule: its interval is wider than {100 * WIDE:g} points)."


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 0.1 or value in (MANY, TOLERATED) else f"{100 * value:.1f} %"
