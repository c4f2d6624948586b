"""One model's Records → the figures of its line in the leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from pytest_llmeval.metrics.pass_at_k import Estimate, all_pass_at_k, pass_at_k
from pytest_llmeval.schema import Completion, Outcome, PassRule, Record, Sample, Timing


@dataclass(frozen=True)
class Speed:
    """Means over requests, in seconds and tokens per second; None means not measured.

    `concurrency` is the most requests that shared the engine: above 1, waiting for others is part of every
    figure. `output_tok_s` is taken after the first token.
    """

    requests: int = 0
    concurrency: int | None = None
    response_s: float | None = None
    ttft_s: float | None = None
    output_tok_s: float | None = None


@dataclass(frozen=True)
class ModelSummary:
    """Figures of one model; None means not measured.

    `pass_at_1` is the mean over judged problems of the share of samples that passed (faults are left out, and
    counted in `faults`), `pass_at_1_unrepaired` the same where a program that needed a repair counts as failed.
    `pass_at_k` holds k → estimate for k in 1, 5, 10, 100 as far as every problem has so many samples. `solved`
    counts the problems whose item passes by the run's rule. Rates are shares of judged samples; `exact_match`
    is the share whose program is the canonical solution. `single_stream` are the probe's requests, one at a
    time; `in_batch` those of the batch. `batch_tok_s` is all output tokens over the time from the first
    submission to the last completion.
    """

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
    single_stream: Speed = Speed()
    in_batch: Speed = Speed()
    batch_tok_s: float | None = None
    output_tokens: int | None = None


def summarise(
    records: Iterable[Record],
    batch_s: float | None = None,
    probe: Sequence[Completion] = (),
    rule: PassRule = PassRule.ANY,
) -> ModelSummary:
    """Compute one model's figures; `batch_s` is the wall time of its batch, `probe` its single-stream answers."""
    every = list(records)
    judged = [record for record in every if not record.is_fault]
    samples = [sample for record in every for sample in record.samples]
    sound = [sample for sample in samples if not sample.verdict.outcome.is_fault]
    tokens = _total_tokens(samples)
    estimates = all_pass_at_k([(record.judged, record.correct) for record in judged])
    return ModelSummary(
        judged=len(judged),
        solved=sum(record.passes(rule) for record in judged),
        faults=len(every) - len(judged),
        samples=len(sound),
        pass_at_1=estimates[1].value if estimates else None,
        pass_at_1_interval=estimates[1].interval if estimates else None,
        pass_at_1_unrepaired=_unrepaired(judged),
        pass_at_k=estimates,
        exact_match=_share(sound, lambda sample: sample.exact_match),
        no_code=_share(sound, lambda sample: sample.verdict.outcome is Outcome.NO_CODE),
        truncated=_share(sound, lambda sample: sample.verdict.outcome is Outcome.TRUNCATED),
        outcomes=dict(Counter(sample.verdict.outcome.value for sample in samples)),
        single_stream=speed(probe),
        in_batch=speed([sample.completion for sample in samples]),
        batch_tok_s=tokens / batch_s if tokens and batch_s and not _disturbed(samples) else None,
        output_tokens=tokens,
    )


def _unrepaired(judged: Sequence[Record]) -> float | None:
    """pass@1 where a repaired program counts as failed."""
    clean = [(record.judged, sum(map(_passed_as_written, record.samples))) for record in judged]
    strict = pass_at_k(clean, 1)
    return strict.value if strict else None


def _passed_as_written(sample: Sample) -> bool:
    return sample.verdict.passed and not (sample.program and sample.program.repairs)


def _share(samples: Sequence[Sample], holds: Callable[[Sample], bool]) -> float | None:
    return sum(map(holds, samples)) / len(samples) if samples else None


def speed(completions: Sequence[Completion]) -> Speed:
    """Mean speed over the completions that carry timings of an undisturbed engine."""
    timed = [(completion, t) for completion in completions if (t := completion.timing) and not t.disturbed]
    timings = [timing for _, timing in timed]
    return Speed(
        requests=len(timings),
        concurrency=max((t.concurrency for t in timings), default=None),
        response_s=_mean(timings, lambda t: t.e2e_s),
        ttft_s=_mean(timings, lambda t: t.ttft_s),
        output_tok_s=_output_speed(timed),
    )


def _mean(timings: list[Timing], figure: Callable[[Timing], float | None]) -> float | None:
    values = [value for t in timings if (value := figure(t)) is not None]
    return fmean(values) if values else None


def _output_speed(timed: list[tuple[Completion, Timing]]) -> float | None:
    """Mean over requests of tokens per second after the first token; undefined below two tokens."""
    speeds = [
        (tokens - 1) / timing.decode_s
        for completion, timing in timed
        if (tokens := completion.completion_tokens or 0) > 1 and timing.decode_s
    ]
    return fmean(speeds) if speeds else None


def _disturbed(samples: list[Sample]) -> bool:
    """True where the engine died under way: the batch's wall time holds its restart."""
    return any(s.completion.timing is not None and s.completion.timing.disturbed for s in samples)


def _total_tokens(samples: list[Sample]) -> int | None:
    counts = [c for s in samples if (c := s.completion.completion_tokens) is not None]
    return sum(counts) if counts else None
