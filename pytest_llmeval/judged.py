"""What a suite's test function holds as `record`: the item's Record with the questions a test asks of it."""

from __future__ import annotations

from typing import Any

from pytest_llmeval.benchmarking import EXTRA_INFO, VirtualClock
from pytest_llmeval.schema import Record, Sample, Timing


class JudgedRecord:
    """A finished Record; `assert record.passed, record.explain()` is a whole test."""

    def __init__(self, record: Record, clock: VirtualClock) -> None:
        self.record = record
        self._clock = clock

    def __repr__(self) -> str:
        """Short: pytest prints it under every failed assertion."""
        record = self.record
        return f"<Record {record.model} {record.task_id}: {record.correct}/{record.n} passed>"

    @property
    def passed(self) -> bool:
        """True where at least one sample passed."""
        return self.record.passed

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.record.samples

    def explain(self) -> str:
        """Why it did not pass, in one line."""
        return explain(self.record)

    def report_timing(self, benchmark: Any) -> None:
        """Hand the engine's response times to pytest-benchmark: one round per sample, nothing runs again."""
        timings = [t for s in self.record.samples if (t := s.completion.timing) is not None]
        rounds = self._clock.load(t.e2e_s for t in timings if t.e2e_s is not None)
        # Not measured, or switched off by the user: used all the same, or pytest-benchmark would warn.
        benchmark.disabled = benchmark.disabled or not rounds
        if benchmark.disabled:
            benchmark(lambda: None)
            return
        benchmark.extra_info[EXTRA_INFO] = _extra_info(self.record, timings)
        benchmark.pedantic(self._clock.replay, rounds=rounds)


def explain(record: Record) -> str:
    """One line on a Record: `passed`, or the first failed sample's outcome and detail."""
    failed = [sample for sample in record.samples if not sample.verdict.passed]
    if not failed:
        return "passed"
    verdict = failed[0].verdict
    line = f"{verdict.outcome}: {verdict.detail}" if verdict.detail else str(verdict.outcome)
    return line if record.n == 1 else f"{len(failed)} of {record.n} samples failed; first: {line}"


def _extra_info(record: Record, timings: list[Timing]) -> dict[str, Any]:
    completions = [sample.completion for sample in record.samples]
    return {
        "model": record.model,
        "task_id": record.task_id,
        "outcomes": [str(sample.verdict.outcome) for sample in record.samples],
        "completion_tokens": [c.completion_tokens for c in completions],
        "prompt_tokens": completions[0].prompt_tokens,
        "ttft_s": [t.ttft_s for t in timings],
        "concurrency": max(t.concurrency for t in timings),
    }
