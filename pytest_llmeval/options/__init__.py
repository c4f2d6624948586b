"""pytest's option bag and ini file become one frozen Options; bad input fails here and nowhere later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.options import values
from pytest_llmeval.options.declared import DECLARED, OLDEST, declare, is_active, is_too_old, only_shows
from pytest_llmeval.options.values import ProblemFile, Shard

__all__ = [
    "DECLARED",
    "OLDEST",
    "Options",
    "ProblemFile",
    "Shard",
    "declare",
    "is_active",
    "is_too_old",
    "only_shows",
    "read",
]

WrongAnswers = Literal["fail", "xfail"]
Scoring = Literal["auto", "overlap", "after"]
# The values of schema.PassRule, which is not imported until needed.
Passing = Literal["any", "all", "majority"]


@dataclass(frozen=True)
class Options:
    """What the user asked for, checked."""

    registry: Path
    reports: Path
    models: tuple[str, ...] = ()
    exclude_models: tuple[str, ...] = ()
    samples: Path | None = None
    resume: str | None = None
    problem_files: tuple[ProblemFile, ...] = ()
    limit: int | None = None
    sample: int | None = None
    shard: Shard | None = None
    predictions: Literal["all", "failed", "none"] = "all"
    compress: Literal["zstd"] | None = None
    seed: int = 0
    concurrency: int | None = None
    wrong: WrongAnswers = "fail"
    strict: bool = False
    scoring: Scoring = "auto"
    sandbox: str = "auto"
    sandbox_workers: int | None = None
    sandbox_limits: Mapping[str, float] = field(default_factory=dict)
    sandbox_site: tuple[Path, ...] = ()
    probe: int = 16
    sampling: Mapping[str, Any] = field(default_factory=dict)
    passing: Passing = "any"
    summary: Path | None = None
    load_timeout_s: float = 1800.0
    telemetry_hz: float = 10.0
    baseline: Path | None = None
    gate: tuple[str, ...] = ()
    hang_timeout_s: float = 600.0
    ray: str | None = None
    devices: str | None = None


def read(config: pytest.Config) -> Options:
    """Turn the option bag into Options.

    Raises:
        ConfigurationError: a value makes no sense, or two contradict each other.
    """
    option = config.option
    values.refuse_empty(option)
    _refuse_contradictions(option)
    return Options(
        registry=values.registry_path(config),
        reports=values.path_of(config, option.llmeval_reports, "llmeval_reports"),
        models=values.globs(option.llmeval_models),
        exclude_models=values.globs(option.llmeval_exclude_models),
        samples=values.given_path(config, option.llmeval_samples),
        resume=values.resumed(config, option.llmeval_resume),
        problem_files=values.problem_files(config),
        limit=values.at_least_one("limit", option.llmeval_limit),
        sample=values.at_least_one("sample", option.llmeval_sample),
        predictions=option.llmeval_predictions,
        compress=option.llmeval_compress,
        shard=values.shard(option.llmeval_shard),
        seed=option.llmeval_seed,
        concurrency=values.concurrency(option.llmeval_concurrency),
        wrong=option.llmeval_wrong,
        strict=option.llmeval_strict,
        scoring=option.llmeval_scoring,
        sandbox=option.llmeval_sandbox,
        sandbox_workers=values.at_least_one("sandbox-workers", option.llmeval_sandbox_workers),
        sandbox_limits=values.sandbox_limits(config),
        sandbox_site=values.sandbox_site(config),
        probe=values.probe(option.llmeval_probe),
        sampling=values.sampling(option),
        passing=option.llmeval_pass,
        summary=values.given_path(config, option.llmeval_summary),
        load_timeout_s=values.seconds("load-timeout", option.llmeval_load_timeout),
        telemetry_hz=values.rate(option.llmeval_telemetry),
        baseline=values.given_path(config, option.llmeval_baseline),
        gate=tuple(option.llmeval_gate),
        hang_timeout_s=values.seconds("hang-timeout", option.llmeval_hang_timeout),
        ray=values.ray_address(option.llmeval_ray),
        devices=values.devices(option.llmeval_devices),
    )


def _refuse_contradictions(option: Any) -> None:
    if option.llmeval_limit is not None and option.llmeval_sample is not None:
        raise ConfigurationError(
            "--llmeval-limit and --llmeval-sample both choose problems: give one of them"
        )
    if option.llmeval_shard and (option.llmeval_baseline or option.llmeval_gate not in ([], ["off"])):
        raise ConfigurationError(
            "--llmeval-shard: a part of a run is not judged alone. Leave out --llmeval-baseline and --llmeval-gate, "
            "and give them to the job that puts the parts together: python -m pytest_llmeval report RUN RUN ... "
            "--baseline PATH"
        )
    if option.llmeval_devices is not None and option.llmeval_ray is not None:
        raise ConfigurationError(
            "--llmeval-devices gives out this machine's devices, --llmeval-ray a cluster's: give one of them"
        )
