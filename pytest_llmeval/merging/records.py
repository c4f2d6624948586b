"""The Records of several runs as those of one: each once, read and written one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.merging.sources import Source, models_of, unlike_conditions
from pytest_llmeval.schema import Record, RecordId
from pytest_llmeval.store import RESULTS, RunStore, located, read_records

Doubles = Literal["refuse", "first"]
"""Where two runs answered one problem differently: an error, or the first one's answers hold."""

Held = dict[RecordId, Source]


def collect_records(store: RunStore, sources: Sequence[Source], doubles: Doubles) -> Held:
    """Append every Record to `store`; returns which run each is of.

    A sample whose times were taken under other conditions than those of the model's other runs names the run that
    generated it in `reused_from`, and so enters no figure of speed.

    Raises:
        ConfigurationError: two runs hold different answers or verdicts for one problem.
    """
    unlike = {model for model in models_of(sources) if unlike_conditions(sources, model)}
    held: Held = {}
    seen: dict[RecordId, bytes] = {}
    for source in sources:
        for record in _records(source):
            name, digest = record.record_id, _digest(record)
            if name not in held:
                store.append(_of_another_run(record, source) if name.model in unlike else record)
                held[name], seen[name] = source, digest
            elif doubles == "refuse" and seen[name] != digest:
                raise ConfigurationError(
                    f"{held[name].label} and {source.label} both hold answers of {name.model} to {name.task_id} of "
                    f"{name.problem_set}, and they differ: leave one of the runs out"
                )
    return held


def _records(source: Source) -> Iterator[Record]:
    path = located(source.folder / RESULTS)
    return read_records(path) if path.is_file() else iter(())


def _digest(record: Record) -> bytes:
    """Of the texts and their verdicts."""
    digest = hashlib.sha256()
    for sample in record.samples:
        told = f"{sample.index}\0{sample.verdict.outcome}\0{sample.completion.text}\0"
        digest.update(told.encode("utf-8", "surrogatepass"))
    return digest.digest()


def _of_another_run(record: Record, source: Source) -> Record:
    samples = tuple(replace(s, reused_from=s.reused_from or source.label) for s in record.samples)
    return replace(record, samples=samples)
