"""Figures of each model as properties of JUnit's test suite, for CI systems that read nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_llmeval.printable import printed
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import Line, ModelResult


def add_properties(config: pytest.Config, run: LoadedRun) -> None:
    """Hand them to pytest's own --junitxml, where that is wanted: what its record_testsuite_property does."""
    for plugin in config.pluginmanager.get_plugins():
        if add := getattr(plugin, "add_global_property", None):
            for name, value in properties(run):
                add(printed(name), printed(value))


def properties(run: LoadedRun) -> Iterator[tuple[str, str]]:
    """(name, value): `llmeval.<model>.status`, `llmeval.<model>.<problem set>.pass@1`; absent where not measured."""
    yield "llmeval.run", run.run_id
    for model in run.models:
        yield from _of_model(model)
    for line in run.lines:
        yield from _of_line(line)


def _of_model(model: ModelResult) -> Iterator[tuple[str, str]]:
    speed = model.summary.single_stream
    values = {
        "model": model.spec.model,
        "status": str(model.status),
        "reason": model.reason.split("\n", 1)[0] or None,
        "response_s": speed.response_s,
        "ttft_s": speed.ttft_s,
        "output_tok_s": speed.output_tok_s,
        "batch_tok_s": model.summary.batch_tok_s,
    }
    for name, value in values.items():
        if value is not None:
            yield f"llmeval.{model.spec.name}.{name}", _written(value)


def _of_line(line: Line) -> Iterator[tuple[str, str]]:
    if not line.problem_set:
        return
    figures = line.figures
    low, high = figures.pass_at_1_interval or (None, None)
    values = {
        "selected": figures.selected,
        "judged": figures.judged,
        "solved": figures.solved,
        "faults": figures.faults,
        "n": figures.samples,
        **{f"pass@{k}": found.value for k, found in figures.pass_at_k.items()},
        "pass@1.low": low,
        "pass@1.high": high,
        "no_code": figures.no_code,
        "truncated": figures.truncated,
    }
    for name, value in values.items():
        if value is not None:
            yield f"llmeval.{line.name}.{line.problem_set}.{name}", _written(value)


def _written(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
