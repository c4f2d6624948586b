"""What earlier runs left that this one may use instead of asking again, and why it may not use the rest.

A stored answer stands for a new one where both have the same generation key; its verdict stands where the verdict key
is the same, too. See docs/resume.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.keys import Inputs, RunKeys, differences
from pytest_llmeval.pipeline.asking import questions
from pytest_llmeval.schema import Completion, Keys, ModelSpec, RecordId, Sample, Task
from pytest_llmeval.store import (
    GENERATIONS,
    MANIFEST,
    RESULTS,
    Generation,
    find_run,
    homes,
    located,
    read_generations,
    read_records,
)

Wanted = tuple[RecordId, int]  # a Record and the index of one of its samples
RESUMED_FROM = "resumed_from"  # in a manifest: the run before


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer of an earlier run; `sample` where it was judged, and the sandbox was not at fault."""

    run_id: str
    completion: Completion
    keys: Keys
    sample: Sample | None


@dataclass(frozen=True)
class Reuse:
    """What earlier runs give for one model's plan of `wanted` samples.

    `differences` say why answers that are there are not used: `engine.max_model_len: 2048 → 4096`. `only` is
    false where something else than the plan wants the engine.
    """

    wanted: int
    answers: Mapping[Wanted, Stored] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    only: bool = True

    @property
    def whole(self) -> bool:
        """True where no answer is missing and no engine is needed."""
        return self.only and self.wanted > 0 and len(self.answers) == self.wanted


class EarlierRuns:
    """A run and those that it resumed itself, newest first; read when first asked."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders

    @classmethod
    def find(cls, reports: Path, name: str) -> EarlierRuns:
        """The run of that name under `reports`, or of the newest for `latest`.

        Raises:
            ConfigurationError: there is no such run.
        """
        folder = find_run(reports, name)
        if folder is None:
            raise ConfigurationError(
                f"--llmeval-resume {name}: {reports} holds no such run. Name one of its folders or 'latest'; where "
                f"{name!r} is a file or folder of tests, put the option behind it or write --llmeval-resume=latest"
            )
        return cls(list(_chain(folder)))

    @property
    def run_id(self) -> str:
        return self.folders[0].name

    def find_answer(self, wanted: Wanted, generation_key: str) -> Stored | None:
        return self._answers.get((*wanted, generation_key))

    def holds(self, wanted: Wanted) -> bool:
        """True where there is an answer of whatever key."""
        return wanted in self._asked

    def settings(self, model: str) -> Inputs | None:
        """The plain values behind the model's part of the generation key, as the newest manifest has them."""
        manifests = (_manifest(home) for folder in self.folders for home in homes(folder))
        found = (manifest.get("keys", {}).get("generation", {}).get(model) for manifest in manifests)
        return next(filter(None, found), None)

    def asked(self, wanted: Wanted) -> Inputs:
        """The plain values behind the rest of it; empty where they are not known."""
        return self._asked.get(wanted, {})

    @cached_property
    def _answers(self) -> dict[tuple[RecordId, int, str], Stored]:
        answers: dict[tuple[RecordId, int, str], Stored] = {}
        for folder in self.folders:
            for name, sample in _samples(folder):
                if sample.keys.generation:
                    sound = None if sample.verdict.outcome.is_fault else sample
                    run_id = sample.reused_from or folder.name
                    stored = Stored(run_id, sample.completion, sample.keys, sound)
                    answers.setdefault((name, sample.index, sample.keys.generation), stored)
            for one in _generations(folder):
                name = RecordId(one.model, one.problem_set, one.task_id)
                stored = Stored(folder.name, one.completion, one.keys, None)
                answers.setdefault((name, one.index, one.keys.generation), stored)
        return answers

    @cached_property
    def _asked(self) -> dict[Wanted, Inputs]:
        asked: dict[Wanted, Inputs] = {}
        for folder in self.folders:
            for one in _generations(folder):
                asked.setdefault((RecordId(one.model, one.problem_set, one.task_id), one.index), one.asked)
        return asked


class Resumption:
    """What the plan of a run can take from earlier runs. Without any, nothing."""

    def __init__(
        self,
        earlier: EarlierRuns | None,
        specs: Mapping[str, ModelSpec],
        plan: Mapping[str, Sequence[Task]],
        keys: RunKeys,
        seed: int,
        engine_wanted: Collection[str] = (),
    ) -> None:
        """`engine_wanted` names models of which not only the plan, but a test itself wants the engine."""
        self._earlier = earlier
        self._specs, self._plan, self._keys, self._seed = specs, plan, keys, seed
        self._engine_wanted = engine_wanted
        self._known: dict[str, tuple[Inputs, Reuse]] = {}

    def of(self, name: str) -> Reuse:
        """What is reused of one model; looked at again when the model turned out to be another one.

        Raises:
            LLMEvalError: what the earlier run left cannot be read.
        """
        settings = self._keys.settings_of(self._specs[name])
        if name not in self._known or self._known[name][0] != settings:
            self._known[name] = settings, self._look(self._specs[name])
        return self._known[name][1]

    def _look(self, spec: ModelSpec) -> Reuse:
        tasks = self._plan[spec.name]
        wanted = sum(task.sampling.n for task in tasks)
        if self._earlier is None:
            return Reuse(wanted)
        answers: dict[Wanted, Stored] = {}
        changed: dict[str, None] = {}  # in order, each once
        for question in questions(spec, tasks, self._seed):
            one = (question.draft.record_id, question.request.sample_index)
            asked = self._keys.asked(question.request.prompt, question.sampling)
            key = self._keys.of_generation(spec, question.request, asked).generation
            if stored := self._earlier.find_answer(one, key):
                answers[one] = stored
            elif self._earlier.holds(one):
                changed.update(dict.fromkeys(differences(self._earlier.asked(one), asked)))
        only = spec.name not in self._engine_wanted
        return Reuse(wanted, answers, (*self._model_differences(spec), *changed), only)

    def _model_differences(self, spec: ModelSpec) -> list[str]:
        before = self._earlier.settings(spec.name) if self._earlier else None
        return differences(before, self._keys.settings_of(spec)) if before else []


def _chain(folder: Path) -> Iterator[Path]:
    """The run, the one it resumed, and so on, as far as they are still there."""
    seen: set[Path] = set()
    while folder not in seen and folder.is_dir():
        seen.add(folder)
        yield folder
        before = _manifest(folder).get(RESUMED_FROM)
        if not before:
            return
        folder = folder.parent / str(before)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        read = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _samples(folder: Path) -> Iterator[tuple[RecordId, Sample]]:
    for path in _written(folder, RESULTS):
        for record in read_records(path):
            yield from ((record.record_id, sample) for sample in record.samples)


def _generations(folder: Path) -> Iterator[Generation]:
    for path in _written(folder, GENERATIONS):
        yield from read_generations(path)


def _written(folder: Path, name: str) -> list[Path]:
    return [path for home in homes(folder) if (path := located(home / name)).is_file()]


ReuseOf = Callable[[str], Reuse]  # by a model's name
