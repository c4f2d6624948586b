"""Engine-side timings for pytest-benchmark, through its public API: a timer that moves only when told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

EXTRA_INFO = "llmeval"  # our key in a benchmark's extra_info

# Whoever asks pytest-benchmark for one of these wants to see its table.
TABLE_OPTIONS = (
    "benchmark_compare",
    "benchmark_compare_fail",
    "benchmark_histogram",
    "benchmark_verbose",
    "benchmark_group_by",
    "benchmark_columns",
    "benchmark_sort",
)


class VirtualClock:
    """A timer for pytest-benchmark: each `replay()` advances it by the next measured duration, in seconds."""

    __name__ = "engine_clock"

    def __init__(self) -> None:
        self.now_s = 0.0
        self._durations_s: deque[float] = deque()

    def __call__(self) -> float:
        return self.now_s

    def __repr__(self) -> str:
        return "<engine clock>"  # no address: benchmark files are published and compared

    def load(self, durations_s: Iterable[float]) -> int:
        """Take the durations to replay; returns how many."""
        self._durations_s = deque(durations_s)
        return len(self._durations_s)

    def replay(self) -> None:
        if self._durations_s:  # --benchmark-cprofile calls once more than there are rounds
            self.now_s += self._durations_s.popleft()


def replay(
    benchmark: Any, clock: VirtualClock, durations_s: Iterable[float], extra_info: Mapping[str, Any]
) -> None:
    """Hand durations to pytest-benchmark, a round each: nothing runs again. `extra_info` goes into its file."""
    rounds = clock.load(durations_s)
    # Not measured, or switched off by the user: used all the same, or pytest-benchmark would warn.
    benchmark.disabled = benchmark.disabled or not rounds
    if benchmark.disabled:
        benchmark(lambda: None)
        return
    benchmark.extra_info[EXTRA_INFO] = dict(extra_info)
    benchmark.pedantic(clock.replay, rounds=rounds)


class QuietTable:
    """Keeps our items out of pytest-benchmark's terminal table, which prints one line per item."""

    @pytest.hookimpl(wrapper=True)
    def pytest_benchmark_group_stats(self, config: pytest.Config, benchmarks: Any, group_by: str) -> Any:
        groups = yield
        if any(_was_given(config, name) for name in TABLE_OPTIONS):
            return groups
        kept = [(name, [row for row in rows if not _is_ours(row)]) for name, rows in groups]
        return [(name, rows) for name, rows in kept if rows]


def _is_ours(row: Any) -> bool:
    return EXTRA_INFO in row["extra_info"]


def _was_given(config: pytest.Config, name: str) -> bool:
    default = {"benchmark_sort": "min", "benchmark_group_by": "group"}
    value = getattr(config.option, name, None)
    if name == "benchmark_columns":  # parsed into a list whatever was given
        return any(str(arg).startswith("--benchmark-columns") for arg in config.invocation_params.args)
    return bool(value) and value != default.get(name)
