"""Three keys say what of an earlier run may stand for what this one would do; none needs an engine.

The generation key covers what decides an answer's text, the verdict key what decides how it is judged, the timing
key the conditions of its times. Each is a hash of plain values, which the manifest and each stored answer keep, so
that a difference can be named. docs/resume.md lists what is in them and what is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pytest_llmeval.keys.settings import generation_settings
from pytest_llmeval.schema import Keys, ModelSpec, Problem, Program, Prompt, Request, Sampling

__all__ = ["Inputs", "RunKeys", "differences", "key_of"]

Inputs = Mapping[str, Any]
ABSENT = object()
SHOWN_CHARACTERS = 60


def key_of(*inputs: Any) -> str:
    """A hash of plain values: equal on every machine, whatever the order of their keys."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def differences(before: Inputs, now: Inputs) -> list[str]:
    """`engine.max_model_len: 2048 → 4096` for each value that changed, came or went."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        f"{name}: {_shown(old.get(name, ABSENT))} → {_shown(new.get(name, ABSENT))}"
        for name in (*old, *(name for name in new if name not in old))
        if old.get(name, ABSENT) != new.get(name, ABSENT)
    ]


def _flat(inputs: Inputs, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in inputs.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            as_read_back = json.loads(json.dumps(value, default=str))
            yield f"{prefix}{name}", as_read_back


def _shown(value: Any) -> str:
    text = "not set" if value is ABSENT else json.dumps(value, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


class RunKeys:
    """The keys of one run. `verdict` and `timing` are what its judging and its times depend on."""

    def __init__(self, seed: int, verdict: Inputs, timing: Inputs) -> None:
        self.verdict = verdict
        self.timing = timing
        self.generation: dict[str, Inputs] = {}
        self._seed = seed
        self._model_keys: dict[str, str] = {}
        self._verdict_key = key_of(verdict)
        self._timing_key = key_of(timing)
        self._problem_keys: dict[Problem, str] = {}

    def identify(self, spec: ModelSpec) -> None:
        """Look at what a model is now; again after loading, which may have fetched newer weights."""
        self.generation[spec.name] = settings = generation_settings(spec)
        self._model_keys[spec.name] = key_of(settings)

    def settings_of(self, spec: ModelSpec) -> Inputs:
        """What decides a model's answers besides prompt and sampling, as `identify` last saw it."""
        if spec.name not in self.generation:
            self.identify(spec)
        return self.generation[spec.name]

    def asked(self, prompt: Prompt, sampling: Sampling) -> Inputs:
        """What decides the text of a sample besides its model and its index, as plain values.

        A greedy sample draws nothing, so no seed is in it.
        """
        drawing = asdict(sampling)
        del drawing["n"]
        if drawing["temperature"] == 0:
            del drawing["seed"]
            return {"prompt": key_of(asdict(prompt)), "sampling": drawing}
        return {"prompt": key_of(asdict(prompt)), "sampling": drawing, "run_seed": self._seed}

    def of_generation(self, spec: ModelSpec, request: Request, asked: Inputs) -> Keys:
        """The keys of a sample that has not been judged; `asked` is of the same request."""
        self.settings_of(spec)
        key = key_of(self._model_keys[spec.name], request.task_id, request.sample_index, asked)
        return Keys(generation=key, timing=self._timing_key)

    def of_verdict(self, program: Program | None, problem: Problem) -> str:
        """The verdict key of one Program; without one, of the fact that there is none."""
        if problem not in self._problem_keys:
            self._problem_keys[problem] = key_of(asdict(problem))
        source = None if program is None else program.source
        return key_of(self._verdict_key, self._problem_keys[problem], source)

    def describe(self) -> dict[str, Any]:
        """The plain values behind the keys, for the manifest."""
        return {"generation": dict(self.generation), "verdict": self.verdict, "timing": self.timing}
