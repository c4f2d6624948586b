"""The manifest of a merged run: what its runs have in common, where they differ, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_llmeval.merging.records import Held
from pytest_llmeval.merging.sources import Source, models_of, that_tried, unlike_conditions
from pytest_llmeval.schema import SCHEMA_VERSION, RecordId
from pytest_llmeval.schema.tasks import natural_order
from pytest_llmeval.shards import rows_of

OF_ALL = ("versions", "machine", "concurrency", "scoring", "seed", "item_passes")
PART_OF = ("run_id", "started_at", "ended_at", "shard", "machine", "versions")
WEAKEST_LAST = ("A", "B", "B-", "C")


def merged_manifest(
    run_id: str, sources: Sequence[Source], held: Held, side_by_side: bool = False
) -> dict[str, Any]:
    """Readers of manifests find here what any run has, and `merged` besides.

    It has no end: the time from the first run's start to the last one's end is nobody's duration.
    """
    manifests = [source.manifest for source in sources]
    models = models_of(sources)
    missing = {model: missing_of(model, sources, held) for model in models}
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "started_at": min(str(manifest["started_at"]) for manifest in manifests),
        "ended_at": None,
        **{key: joined([manifest.get(key) for manifest in manifests]) for key in OF_ALL},
        "predictions": _first(manifests, "predictions"),
        "sandbox": _sandbox([manifest.get("sandbox") for manifest in manifests]),
        "models": {model: _first(manifests, "models", model) for model in models},
        "asked": {model: _asked(sources, model, _planned(model, sources, held)) for model in models},
        "shard": None,
        "planned": _rows({model: _planned(model, sources, held) for model in models}),
        "selected": {model: len(_planned(model, sources, held)) for model in models},
        "keys": {
            "generation": {model: _first(manifests, "keys", "generation", model) for model in models},
            "verdict": joined([manifest.get("keys", {}).get("verdict") for manifest in manifests]),
            "timing": joined([source.timing for source in sources]),
        },
        "resumed_from": None,
        "reused": {},
        "engines": {model: _engine(sources, model) for model in models if that_tried(sources, model)},
        "engines_fared": {
            model: {"notes": _notes(sources, model, missing[model], side_by_side)} for model in models
        },
        "states": {model: _state(sources, model, missing[model], side_by_side) for model in models},
        "merged": {
            "runs": [
                {"run": s.label, "records": _count(held, s), **{k: s.manifest.get(k) for k in PART_OF}}
                for s in sources
            ],
            "missing_shards": _missing_shards(sources, missing),
            "missing": _rows(missing),
        },
    }


# -------------------------------------------------------------------------------------- what is missing


def missing_of(model: str, sources: Sequence[Source], held: Held) -> list[RecordId]:
    """What the model's runs were to ask and no run holds; of a model that no machine could run, nothing."""
    if not that_tried(sources, model):
        return []
    return [name for name in _planned(model, sources, held) if name not in held]


def _planned(model: str, sources: Sequence[Source], held: Held) -> list[RecordId]:
    planned = {name for source in sources for name in source.planned(model)}
    return sorted(planned | {name for name in held if name.model == model}, key=natural_order)


def _missing_shards(sources: Sequence[Source], missing: Mapping[str, Sequence[RecordId]]) -> list[str]:
    """`2 of 4`; one without problems left no run and is not missing."""
    if not any(missing.values()):
        return []
    shards = {source.shard for source in sources if source.shard}
    return [
        f"{part} of {parts}"
        for parts in sorted({parts for _, parts in shards})
        for part in range(1, parts + 1)
        if (part, parts) not in shards
    ]


def _rows(names: Mapping[str, Iterable[RecordId]]) -> list[dict[str, Any]]:
    return rows_of({model: [name[1:] for name in of_model] for model, of_model in names.items()})


# ------------------------------------------------------------------------------------------ of one model


def _asked(sources: Sequence[Source], model: str, planned: Sequence[RecordId]) -> list[dict[str, Any]]:
    """How each problem set is asked, with the number of problems that all runs together were to ask."""
    rows: dict[str, dict[str, Any]] = {}
    for source in sources:
        for row in source.manifest.get("asked", {}).get(model, ()):
            rows.setdefault(row["problem_set"], dict(row))
    for name, row in rows.items():
        row["problems"] = sum(one.problem_set == name for one in planned)
    return list(rows.values())


def _engine(sources: Sequence[Source], model: str) -> Mapping[str, Any]:
    """What was loaded; of several loads, what they have in common."""
    tried = that_tried(sources, model)
    infos = [info for source in tried if (info := source.manifest.get("engines", {}).get(model))]
    if len(infos) < 2:
        return infos[0] if infos else {}
    facts = [info.get("facts") or {} for info in infos]
    first = infos[0]
    return {
        "facts": {k: v for k, v in facts[0].items() if all(one.get(k) == v for one in facts)},
        "memory": first.get("memory") if all(i.get("memory") == first.get("memory") for i in infos) else None,
        "synthetic": all(info.get("synthetic") for info in infos),
    }


def _state(
    sources: Sequence[Source], model: str, missing: Sequence[RecordId], side_by_side: bool
) -> dict[str, Any]:
    """A fault counts as long as something is missing; a second run may have made up for it."""
    tried = that_tried(sources, model)
    if not tried:
        return {"unavailable": _first([s.manifest for s in sources], "states", model, "unavailable")}
    states = [(source, source.manifest.get("states", {}).get(model) or {}) for source in tried]
    faults = [_told(source, state["fault"], tried) for source, state in states if state.get("fault")]
    seconds = [known for _, state in states if (known := state.get("batch_s")) is not None]
    alike = len(seconds) == len(states) and not unlike_conditions(sources, model)
    return {
        "unavailable": None,
        "fault": "\n".join(faults) if faults and missing else None,
        "batch_s": _wall(seconds, side_by_side) if alike else None,
    }


def _wall(seconds: Sequence[float], side_by_side: bool) -> float:
    """Tokens over the sum are one engine's speed; those who asked at the same time were done with the slowest."""
    return max(seconds) if side_by_side else sum(seconds)


def _notes(
    sources: Sequence[Source], model: str, missing: Sequence[RecordId], side_by_side: bool
) -> list[str]:
    """What readers must know of how the figures came together."""
    tried = that_tried(sources, model)
    notes = [
        _told(source, note, tried)
        for source in tried
        for note in (source.manifest.get("engines_fared", {}).get(model) or {}).get("notes", ())
    ]
    if unlike := unlike_conditions(sources, model):
        labels = ", ".join(source.label for source in tried)
        notes.append(
            f"no speeds are given: {labels} were not measured under the same conditions ({'; '.join(unlike)}); "
            "each one's own stand in runs/"
        )
    elif len(tried) > 1 and side_by_side:
        notes.append(
            f"asked by {len(tried)} workers side by side: the concurrency of each speed is one worker's, batch over "
            "the time of the slowest"
        )
    elif len(tried) > 1:
        notes.append(f"put together of {len(tried)} runs; memory and energy of each stand in runs/")
    if missing:
        notes.append(f"{len(missing)} of its problems are missing: {some(missing)}")
    return notes


def some(names: Sequence[RecordId], shown: int = 5) -> str:
    """`HumanEval/3, HumanEval/9 and 39 more`."""
    told = ", ".join(name.task_id for name in names[:shown])
    return told if len(names) <= shown else f"{told} and {len(names) - shown} more"


def _told(source: Source, text: str, tried: Sequence[Source]) -> str:
    return f"{source.label}: {text}" if len(tried) > 1 else text


# ------------------------------------------------------------------------------------------------ values


def joined(values: Sequence[Any]) -> Any:
    """What is equal stays; tables are joined key by key, lists without repeats; other values stand side by side."""
    known = [value for value in values if value not in (None, "", {}, [])]
    if not known or all(value == known[0] for value in known):
        return known[0] if known else None
    if all(isinstance(value, Mapping) for value in known):
        keys = dict.fromkeys(key for value in known for key in value)
        return {key: joined([value.get(key) for value in known]) for key in keys}
    if all(isinstance(value, list) for value in known):
        return list(dict.fromkeys(item for value in known for item in value))
    return " / ".join(dict.fromkeys(map(str, known)))


def _sandbox(described: Sequence[Mapping[str, Any] | None]) -> Any:
    """As a whole it holds no more than the weakest."""
    found = [one for one in described if one]
    return max(found, key=lambda one: WEAKEST_LAST.index(one["level"])) if found else None


def _first(manifests: Sequence[Mapping[str, Any]], *path: str) -> Any:
    """The first value that one of them has at that path."""
    for manifest in manifests:
        value: Any = manifest
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return None


def _count(held: Held, source: Source) -> int:
    return sum(one is source for one in held.values())
