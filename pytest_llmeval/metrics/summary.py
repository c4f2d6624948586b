"""One model's Records → its figures: how right, for each problem set; how fast, over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from pytest_llmeval.metrics.lengths import LengthRow, by_length
from pytest_llmeval.metrics.pass_at_k import Estimate, all_pass_at_k, pass_at_k
from pytest_llmeval.metrics.speed import Speed, SpeedTally
from pytest_llmeval.schema import Completion, Outcome, PassRule, Record, Sample


@dataclass(frozen=True)
class SetFigures:
    """How right one model's answers to one problem set are; None means not measured.

    `selected` counts the problems it was to be asked. `pass_at_1` is the mean over judged problems of the share of
    samples that passed (faults are left out, and counted in `faults`), `pass_at_1_unrepaired` the same where a
    program that needed a repair counts as failed. `pass_at_k` holds k → estimate for k in 1, 5, 10, 100 as far as
    every problem has so many samples. `solved` counts the problems whose item passes by the run's rule. Rates are
    shares of judged samples; `exact_match` is the share whose program is the canonical solution. `by_length` is
    about problems in long prompts only.
    """

    selected: int = 0
    judged: int = 0
    solved: int = 0
    faults: int = 0
    samples: int = 0
    pass_at_1: float | None = None
    pass_at_1_interval: tuple[float, float] | None = None
    pass_at_1_unrepaired: float | None = None
    pass_at_k: dict[int, Estimate] = field(default_factory=dict)
    exact_match: float | None = None
    no_code: float | None = None
    truncated: float | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    by_length: tuple[LengthRow, ...] = ()


@dataclass(frozen=True)
class ModelSummary:
    """What is one model's whatever it was asked: counts over all problem sets, and speeds. None: not measured.

    `single_stream` are the probe's requests, one at a time; `in_batch` those of the batch. `batch_tok_s` is all
    output tokens over the time from the first submission to the last completion. `reused` samples were generated
    by an earlier run and enter no figure of speed, nor `output_tokens`. `disturbed`: the engine died under way and
    was started again, which the batch's time and energy hold; neither is a figure then.
    """

    judged: int = 0
    solved: int = 0
    faults: int = 0
    samples: int = 0
    single_stream: Speed = field(default_factory=Speed)
    in_batch: Speed = field(default_factory=Speed)
    batch_tok_s: float | None = None
    output_tokens: int | None = None
    reused: int = 0
    disturbed: bool = False


def figures_by_set(
    records: Iterable[Record], selected: Mapping[str, int], rule: PassRule = PassRule.ANY
) -> dict[str, SetFigures]:
    """One model's figures for each problem set it was `selected` for (how many problems), and no pool of them."""
    groups: dict[str, list[Record]] = {name: [] for name in selected}
    for record in records:
        groups.setdefault(record.problem_set, []).append(record)
    return {name: figures_of(own, selected.get(name, 0), rule) for name, own in groups.items()}


def figures_of(records: Sequence[Record], selected: int = 0, rule: PassRule = PassRule.ANY) -> SetFigures:
    """The figures of Records of one problem set."""
    judged = [record for record in records if not record.is_fault]
    outcomes: Counter[Outcome] = Counter()
    exact = 0
    for sample in _samples(records):
        outcomes[sample.verdict.outcome] += 1
        exact += bool(sample.exact_match) and not sample.verdict.outcome.is_fault
    sound = sum(count for outcome, count in outcomes.items() if not outcome.is_fault)
    estimates = all_pass_at_k([(record.judged, record.correct) for record in judged])
    return SetFigures(
        selected=max(selected, len(records)),
        judged=len(judged),
        solved=sum(record.passes(rule) for record in judged),
        faults=len(records) - len(judged),
        samples=sound,
        pass_at_1=estimates[1].value if estimates else None,
        pass_at_1_interval=estimates[1].interval if estimates else None,
        pass_at_1_unrepaired=_unrepaired(judged),
        pass_at_k=estimates,
        exact_match=_share(exact, sound),
        no_code=_share(outcomes[Outcome.NO_CODE], sound),
        truncated=_share(outcomes[Outcome.TRUNCATED], sound),
        outcomes={outcome.value: count for outcome, count in outcomes.items() if count},
        by_length=by_length(judged),
    )


def summarise(
    sets: Iterable[SetFigures],
    records: Iterable[Record],
    batch_s: float | None = None,
    probe: Sequence[Completion] = (),
) -> ModelSummary:
    """One model over all its sets; `batch_s` is the wall time of its batch, `probe` its single-stream answers."""
    every = list(sets)
    batch, reused = SpeedTally(), 0
    for sample in _samples(records):
        if sample.reused_from is None:
            batch.add(sample.completion)
        else:
            reused += 1
    tokens = batch.tokens
    return ModelSummary(
        judged=sum(one.judged for one in every),
        solved=sum(one.solved for one in every),
        faults=sum(one.faults for one in every),
        samples=sum(one.samples for one in every),
        single_stream=SpeedTally(probe).speed,
        in_batch=batch.speed,
        batch_tok_s=tokens / batch_s if tokens and batch_s and not batch.disturbed else None,
        output_tokens=tokens,
        reused=reused,
        disturbed=batch.disturbed,
    )


def _samples(records: Iterable[Record]) -> Iterator[Sample]:
    """One by one: of a million, no more than one is in memory as long as its Record is compact."""
    return chain.from_iterable(record.samples for record in records)


def _unrepaired(judged: Sequence[Record]) -> float | None:
    """pass@1 where a repaired program counts as failed."""
    clean = [(record.judged, sum(map(_passed_as_written, record.samples))) for record in judged]
    strict = pass_at_k(clean, 1)
    return strict.value if strict else None


def _passed_as_written(sample: Sample) -> bool:
    return sample.verdict.passed and not (sample.program and sample.program.repairs)


def _share(count: int, of: int) -> float | None:
    return count / of if of else None
