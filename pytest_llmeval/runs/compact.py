"""Samples without their texts, in a few bytes each: hundreds of thousands of them fit into memory.

What many samples have in common (outcome, rule, repairs, why generation ended) is one object for all of them; numbers
stand in columns, and a column that nobody measured is not there. A Sample is made when it is looked at.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from math import isnan, nan
from typing import cast, overload

from pytest_llmeval.schema import Completion, Program, Record, Sample, Timing, Verdict

TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens")
TIMES = ("queue_s", "ttft_s", "decode_s", "e2e_s")
NUMBERS = ("index", *TOKENS, "concurrency", *TIMES)
Columns = dict[str, "array[float]"]


class Compacting:
    """Makes Records compact; `known` samples are shared among all of them.

    Lost are texts, windows, times of single tokens, seconds of judging, keys, and the details of all failures of a
    Record but the first.
    """

    def __init__(self) -> None:
        self._known: dict[Sample, Sample] = {}

    def record(self, record: Record) -> Record:
        first = next((s.index for s in record.samples if not s.verdict.passed), None)
        kinds = [self._kind(sample, sample.index == first) for sample in record.samples]
        samples = CompactSamples(kinds, _columns(record.samples))
        # No tuple, but all that is asked of a Record's samples it answers.
        return replace(record, samples=cast("tuple[Sample, ...]", samples))

    def _kind(self, sample: Sample, explained: bool) -> Sample:
        """A sample without what is its own alone."""
        completion, verdict, timing = sample.completion, sample.verdict, sample.completion.timing
        kind = Sample(
            0,
            Completion(
                "",
                completion.finish_reason,
                cut=completion.cut,
                timing=timing and Timing(0, disturbed=timing.disturbed),
                form=completion.form,
            ),
            sample.program and Program("", sample.program.rule, sample.program.repairs),
            Verdict(verdict.outcome, verdict.detail if explained else "", channel=verdict.channel),
            sample.exact_match,
            reused_from=sample.reused_from,
        )
        return self._known.setdefault(kind, kind)


class CompactSamples(Sequence[Sample]):
    """The samples of one Record."""

    __slots__ = ("_columns", "_kinds")

    def __init__(self, kinds: Sequence[Sample], columns: Columns) -> None:
        self._kinds = tuple(kinds)
        self._columns = columns

    def __len__(self) -> int:
        return len(self._kinds)

    def __bool__(self) -> bool:
        return bool(self._kinds)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, place: int | slice) -> Sample | tuple[Sample, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        return _made(self._kinds[place], place % len(self), *(self._value(name, place) for name in NUMBERS))

    def __iter__(self) -> Iterator[Sample]:
        columns = (self._values(name) for name in NUMBERS)
        return map(_made, self._kinds, range(len(self)), *columns)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Those of the samples, which need not be made for it."""
        return tuple(kind.verdict for kind in self._kinds)

    def _value(self, name: str, place: int) -> float | None:
        column = self._columns.get(name)
        return None if column is None or isnan(value := column[place]) else value

    def _values(self, name: str) -> Iterable[float | None]:
        column = self._columns.get(name)
        return repeat(None) if column is None else [None if isnan(value) else value for value in column]


def _made(
    kind: Sample,
    place: int,
    index: float | None,
    prompt_tokens: float | None,
    completion_tokens: float | None,
    cached_tokens: float | None,
    concurrency: float | None,
    queue_s: float | None,
    ttft_s: float | None,
    decode_s: float | None,
    e2e_s: float | None,
) -> Sample:
    """A sample of its kind with its own numbers.

    Written out, because every report makes every sample several times, and `dataclasses.replace` is five times slower.
    """
    one, timing = kind.completion, kind.completion.timing
    if timing is not None:
        timing = Timing(int(concurrency or 0), queue_s, ttft_s, decode_s, e2e_s, None, timing.disturbed)
    completion = Completion(
        one.text,
        one.finish_reason,
        _whole(prompt_tokens),
        _whole(completion_tokens),
        _whole(cached_tokens),
        one.cut,
        timing,
        one.form,
        one.windows,
    )
    return Sample(
        place if index is None else int(index),
        completion,
        kind.program,
        kind.verdict,
        kind.exact_match,
        kind.keys,
        kind.reused_from,
    )


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _columns(samples: Sequence[Sample]) -> Columns:
    columns: Columns = {}
    indices = [sample.index for sample in samples]
    if indices != list(range(len(indices))):
        columns["index"] = array("d", indices)
    completions = [sample.completion for sample in samples]
    for name in TOKENS:
        _note(columns, name, [getattr(one, name) for one in completions])
    timings = [one.timing for one in completions]
    for name in ("concurrency", *TIMES):
        _note(columns, name, [None if timing is None else getattr(timing, name) for timing in timings])
    return columns


def _note(columns: Columns, name: str, values: Sequence[float | None]) -> None:
    if any(value is not None for value in values):
        columns[name] = array("d", [nan if value is None else value for value in values])
