"""What a run leaves beside its Records: the manifest, and results in the format of the samples that were judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmeval import samples
from pytest_llmeval.pipeline.resume import RESUMED_FROM
from pytest_llmeval.run.manifest import (
    describe_model,
    describe_plan,
    describe_planned,
    machine,
)
from pytest_llmeval.run.state import describe_state
from pytest_llmeval.schema import SCHEMA_VERSION
from pytest_llmeval.store import file_name

if TYPE_CHECKING:
    from pytest_llmeval.run.session import Run


def manifest_of(run: Run) -> dict[str, Any]:
    """What produced the run's Records: versions, machine, settings; no secrets."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.folder.name,
        "started_at": run.started_at.astimezone().isoformat(timespec="seconds"),
        "ended_at": run.ended_at and run.ended_at.astimezone().isoformat(timespec="seconds"),
        "versions": run.versions,
        "machine": machine(),
        "sandbox": run.parts.describe_sandbox(),
        "ray": run.machines.on_ray.describe() if run.machines.on_ray else None,
        "seed": run.options.seed,
        "concurrency": run.options.concurrency or "all at once",
        "scoring": run.options.scoring,
        "models": {name: describe_model(run.specs[name]) for name in run.plan},
        "asked": {name: describe_plan(run.specs[name], planned) for name, planned in run.plan.items()},
        "item_passes": run.options.passing,
        "predictions": run.options.predictions,
        "shard": run.options.shard,
        "planned": describe_planned(run.whole),
        "selected": {name: len(planned) for name, planned in run.plan.items()},
        "keys": run.keys.describe(),
        RESUMED_FROM: run.earlier.run_id if run.earlier else None,
        "reused": {
            name: {
                "answers": batch.reused,
                "judged_again": batch.judged_again,
                "generated": batch.expected,
            }
            for name, state in run.states.items()
            if run.earlier and (batch := state.batch)
        },
        "engines": {name: state.batch.info for name, state in run.states.items() if state.batch},
        "scored": {n: run.parts.scoring_of(s.batch.info) for n, s in list(run.states.items()) if s.batch},
        "engines_fared": {name: s.status for name, s in list(run.states.items()) if s.batch},
        "side_by_side": run.parts.describe_side_by_side(),
        "states": {name: describe_state(state.facts) for name, state in run.states.items()},
    }


def write_samples_results(run: Run) -> None:
    """A file per problem set: HumanEval and HumanEval+ judge the same rows."""
    if (source := run.options.samples) is None:
        return
    judged = samples.JudgedSamples(run.store.records())
    stem = source.name.removesuffix(".gz").removesuffix(".jsonl")
    for name in judged.problem_sets:
        middle = f"_{file_name(name)}" if len(judged.problem_sets) > 1 else ""
        judged.write(name, source, run.folder / f"{stem}{middle}_results.jsonl")
