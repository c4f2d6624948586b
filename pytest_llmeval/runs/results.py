"""What became of each model: why it has the status it has, and its lines in the leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pytest_llmeval.engines import EngineInfo
from pytest_llmeval.metrics.summary import ModelSummary, SetFigures, figures_by_set, summarise
from pytest_llmeval.schema import Completion, ModelSpec, PassRule, Record

# More problems that could not be judged, or answers cut short, than this share make a model's figures degraded.
TOLERATED = 0.01


class Status(StrEnum):
    """Where a model stands at the end of a run.

    Faulted: its engine did not load or died, or nothing could be judged. Degraded: everything was asked, but more
    than 1 % of its problems could not be judged, or more than 1 % of its answers failed after being cut at their
    length limit.
    """

    COMPLETE = "complete"
    DEGRADED = "degraded"
    INCOMPLETE = "incomplete"
    FAULTED = "faulted"
    UNAVAILABLE = "unavailable"

    @property
    def is_whole(self) -> bool:
        """True where every problem was asked, and came to an end of its own."""
        return self in (Status.COMPLETE, Status.DEGRADED)


@dataclass(frozen=True)
class ModelFacts:
    """What a model's Records do not tell: why it did not run, what was loaded, the batch's wall time, the probe."""

    unavailable: str | None = None
    fault: str | None = None
    batch_s: float | None = None
    info: EngineInfo = field(default_factory=EngineInfo)
    probe: Sequence[Completion] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelResult:
    """What became of one model: how right for each problem set it was asked, in the order of the plan; how fast over
    all of them. `notes` are what readers of its figures must know."""

    spec: ModelSpec
    status: Status
    reason: str
    selected: int
    info: EngineInfo
    problem_sets: Mapping[str, SetFigures]
    summary: ModelSummary
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One line of the leaderboard: a model on one problem set; on none (an empty name) where it was only timed."""

    model: ModelResult
    problem_set: str
    figures: SetFigures

    @property
    def name(self) -> str:
        return self.model.spec.name

    @property
    def status(self) -> Status:
        """The model's; of several sets each has its own, so that one which was judged in full stands for itself."""
        model = self.model.status
        if model is Status.UNAVAILABLE or len(self.model.problem_sets) < 2:
            return model
        own = _status_on(self.figures)
        return model if own is Status.INCOMPLETE else own


def lines_of(models: Iterable[ModelResult]) -> Iterator[Line]:
    """The leaderboard's lines, those of one model together."""
    for model in models:
        for problem_set, figures in (model.problem_sets or {"": SetFigures()}).items():
            yield Line(model, problem_set, figures)


def result_of(
    spec: ModelSpec,
    selected: Mapping[str, int],
    facts: ModelFacts,
    records: Iterable[Record],
    rule: PassRule = PassRule.ANY,
) -> ModelResult:
    """Compute a model's result from its Records; `selected` is how many problems of each set it was to be asked."""
    own = list(records)
    sets = figures_by_set(own, selected, rule)
    summary = summarise(sets.values(), own, facts.batch_s, facts.probe)
    asked = sum(figures.selected for figures in sets.values())
    status = _status(facts, sets.values())
    short = "; ".join(_all_shortfalls(sets)) if status is Status.DEGRADED else ""
    reason = facts.unavailable or facts.fault or short
    return ModelResult(spec, status, reason, asked, facts.info, sets, summary, facts.notes)


def _status(facts: ModelFacts, sets: Iterable[SetFigures]) -> Status:
    """A model is what its worst problem set is."""
    if facts.unavailable:
        return Status.UNAVAILABLE
    if facts.fault:
        return Status.FAULTED
    found = set(map(_status_on, sets))
    worst = (Status.FAULTED, Status.INCOMPLETE, Status.DEGRADED)
    return next((status for status in worst if status in found), Status.COMPLETE)


def _status_on(figures: SetFigures) -> Status:
    if figures.faults and not figures.judged:
        return Status.FAULTED
    if figures.judged + figures.faults < figures.selected:
        return Status.INCOMPLETE
    return Status.DEGRADED if _shortfalls(figures) else Status.COMPLETE


def _all_shortfalls(sets: Mapping[str, SetFigures]) -> Iterator[str]:
    for name, figures in sets.items():
        where = f"{name}: " if len(sets) > 1 else ""
        yield from (f"{where}{short}" for short in _shortfalls(figures))


def _shortfalls(figures: SetFigures) -> list[str]:
    """What makes figures degraded, each in a few words."""
    asked = figures.judged + figures.faults
    shares = {
        "of its problems could not be judged": figures.faults / asked if asked else 0.0,
        "of its answers failed after being cut at their length limit": figures.truncated or 0.0,
    }
    return [f"{100 * share:.1f} % {what}" for what, share in shares.items() if share > TOLERATED]
