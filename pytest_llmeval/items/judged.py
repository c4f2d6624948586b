"""What a suite's test function holds as `record`: the item's Record with the questions a test asks of it."""

from __future__ import annotations

from typing import Any

from pytest_llmeval.items.benchmarking import VirtualClock, replay
from pytest_llmeval.schema import Completion, PassRule, Record, Sample, Timing, Verdict


class JudgedRecord:
    """A finished Record; `assert record.passed, record.explain()` is a whole test."""

    def __init__(self, record: Record, clock: VirtualClock, rule: PassRule = PassRule.ANY) -> None:
        self.record = record
        self.rule = rule
        self._clock = clock

    def __repr__(self) -> str:
        """Short: pytest prints it under every failed assertion."""
        record = self.record
        return f"<Record {record.model} {record.task_id}: {record.correct}/{record.n} passed>"

    @property
    def passed(self) -> bool:
        """True where enough samples passed: any, all or more than half of them (--llmeval-pass)."""
        return self.record.passes(self.rule)

    @property
    def was_cut(self) -> bool:
        """True where the prompt did not fit, and what could be kept of it was sent."""
        return any(sample.completion.cut is not None for sample in self.record.samples)

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.record.samples

    def explain(self) -> str:
        """Why it did not pass, in one line; with several samples also how many passed."""
        return explain(self.record, self.rule)

    def report_timing(self, benchmark: Any) -> None:
        """Hand the engine's response times to pytest-benchmark: one round per sample, nothing runs again."""
        fresh = [sample for sample in self.record.samples if sample.reused_from is None]
        timings = [t for s in fresh if (t := s.completion.timing) is not None]
        durations_s = [t.e2e_s for t in timings if t.e2e_s is not None]
        replay(benchmark, self._clock, durations_s, _extra_info(self.record, timings) if timings else {})


def explain(record: Record, rule: PassRule = PassRule.ANY) -> str:
    """One line on a Record: `passed`, or the first failed sample's outcome and detail.

    With several samples: `3 of 20 samples passed (all are needed); first failure: …`.
    """
    failed = [verdict for verdict in record.verdicts if not verdict.passed]
    if record.n == 1:
        return _told(failed[0]) if failed else "passed"
    counted = f"{record.correct} of {record.n} samples passed"
    if record.judged < record.n:
        counted += f", {record.n - record.judged} could not be judged"
    if not record.passes(rule):
        needed = {PassRule.ANY: "one is", PassRule.ALL: "all are", PassRule.MAJORITY: "more than half are"}
        counted += f" ({needed[rule]} needed)"
    return f"{counted}; first failure: {_told(failed[0])}" if failed else counted


def _told(verdict: Verdict) -> str:
    return f"{verdict.outcome}: {verdict.detail}" if verdict.detail else str(verdict.outcome)


def _extra_info(record: Record, timings: list[Timing]) -> dict[str, Any]:
    completions = [sample.completion for sample in record.samples]
    return {
        "model": record.model,
        "task_id": record.task_id,
        "outcomes": [str(sample.verdict.outcome) for sample in record.samples],
        "completion_tokens": [c.completion_tokens for c in completions],
        "prompt_tokens": completions[0].prompt_tokens,
        "ttft_s": [t.ttft_s for t in timings],
        "output_tok_s": [_output_tok_s(s.completion) for s in record.samples if s.reused_from is None],
        "concurrency": max(t.concurrency for t in timings),
    }


def _output_tok_s(completion: Completion) -> float | None:
    """Tokens per second after the first; None below two tokens, or where the engine did not time them."""
    timing, tokens = completion.timing, completion.completion_tokens or 0
    return (tokens - 1) / timing.decode_s if timing and timing.decode_s and tokens > 1 else None
