"""What a run was not able to tell, and what follows from what it told: each by a rule that is stated with it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmeval.report.headline import SURE, duel, ranking, sign_test
from pytest_llmeval.report.text import code
from pytest_llmeval.results import ModelResult, Status
from pytest_llmeval.runs import LoadedRun

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
        reason = f": {code(model.reason.splitlines()[0])}" if model.reason else ""
        yield f"{name} is {model.status}, {figures.judged} of {model.selected} problems were judged{reason}."
    if figures.truncated:
        yield f"{name}: {_share(figures.truncated)} of the answers failed after being cut at their length limit."
    if cut := sum(any(s.completion.cut for s in record.samples) for record in run.of(model.spec.name)):
        yield f"{name}: {cut} prompts were cut to fit the model."
    if figures.reused:
        yield f"{name}: {figures.reused} answers are of an earlier run; speeds speak of the others only."
    if figures.judged and figures.single_stream.response_s is None:
        yield f"{name}: response time and output speed of a single stream were not measured."


def recommendations(run: LoadedRun) -> list[str]:
    """What to do next."""
    return [*_which_model(run), *(line for model in run.models for line in _about(model))]


def _which_model(run: LoadedRun) -> Iterator[str]:
    ranked = ranking(run.models)
    if len(ranked) < 2 or ranked[0].status is not Status.COMPLETE:
        return
    best, others = ranked[0], ranked[1:]
    level = [m for m in others if sign_test(*duel(run, best.spec.name, m.spec.name)) >= SURE]
    if not level:
        yield (
            f"For quality take {code(best.spec.name)} (rule: highest pass@1, and ahead of every other model with "
            f"p < {SURE} over the problems)."
        )
        return
    names = ", ".join(code(m.spec.name) for m in [best, *level])
    yield (
        f"Do not choose between {names} by this run's pass@1 (rule: no difference with p < {SURE} over the "
        "problems); more problems or samples may tell them apart."
    )
    yield from _by_speed([best, *level])


def _by_speed(models: list[ModelResult]) -> Iterator[str]:
    timed = [m for m in models if m.summary.single_stream.output_tok_s is not None]
    if len(timed) == len(models):
        fastest = max(timed, key=lambda m: m.summary.single_stream.output_tok_s or 0.0)
        name = code(fastest.spec.name)
        yield f"Of these {name} has the highest output speed (rule: single stream, tokens per second)."


def _about(model: ModelResult) -> Iterator[str]:
    name, figures = code(model.spec.name), model.summary
    if model.status is Status.FAULTED:
        yield f"Mend what broke {name} and run it again with `--llmeval-resume` (rule: status faulted)."
    if (figures.truncated or 0) > MANY:
        yield f"Raise `max_tokens` of {name} (rule: more than {_share(MANY)} of the answers were cut short)."
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
        yield f"Ask {name} more problems before deciding (rule: its interval is wider than {_share(WIDE)})."


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 0.1 or value == MANY else f"{100 * value:.1f} %"
