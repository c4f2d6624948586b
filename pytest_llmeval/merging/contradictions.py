"""What keeps runs from being one: settings, rules and selections that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.keys import differences
from pytest_llmeval.merging.sources import Source, models_of, that_tried


def refuse_contradictions(sources: Sequence[Source]) -> None:
    """Compare what the manifests say.

    Raises:
        ConfigurationError: one model was asked or judged with different settings, items pass by different rules, or
            shards are of different selections.
    """
    rules = {source.label: source.manifest.get("item_passes") for source in sources}
    if len(set(rules.values())) > 1:
        told = ", ".join(f"{label}: {rule}" for label, rule in rules.items())
        raise ConfigurationError(f"these runs let items pass by different rules (--llmeval-pass): {told}")
    for model in models_of(sources):
        tried = that_tried(sources, model)
        for other in tried[1:]:
            _compare(model, tried[0], other)


def _compare(model: str, first: Source, other: Source) -> None:
    changed = differences(_settings(first, model, other), _settings(other, model, first))
    if changed:
        raise ConfigurationError(
            f"{first.label} and {other.label} cannot be one run: {model} has different settings in them: "
            f"{'; '.join(changed)}. Leave one of them out, or give the second a model entry of its own (`extends`, "
            "docs/models.md)"
        )
    if first.shard and other.shard:
        _compare_shards(model, first, other)


def _compare_shards(model: str, first: Source, other: Source) -> None:
    assert first.shard
    assert other.shard
    if first.shard[1] != other.shard[1]:
        raise ConfigurationError(
            f"{first.label} is shard {first.shard[0]} of {first.shard[1]}, and {other.label} shard {other.shard[0]} "
            f"of {other.shard[1]}: they are not of the same run"
        )
    if odd := sorted(first.planned(model) ^ other.planned(model)):
        raise ConfigurationError(
            f"{first.label} and {other.label} are shards of different selections: {len(odd)} problems of {model} "
            f"were selected in one of them only, first {odd[0].task_id} of {odd[0].problem_set}"
        )


def _settings(source: Source, model: str, beside: Source) -> Mapping[str, Any]:
    """Plain values that must be equal: what decides the model's answers and verdicts, as far as both runs ask it."""
    keys = source.manifest.get("keys", {})
    common = set(_asked(source, model)) & set(_asked(beside, model))
    asked = {name: row for name, row in _asked(source, model).items() if name in common}
    drawn = any((row.get("sampling") or {}).get("temperature") for row in asked.values())
    return {
        "model": keys.get("generation", {}).get(model, {}),
        "asked": asked,
        "judging": keys.get("verdict", {}),
        "seed": source.manifest.get("seed") if drawn else None,
    }


def _asked(source: Source, model: str) -> Mapping[str, Mapping[str, Any]]:
    """Problem set → how it was asked."""
    rows = source.manifest.get("asked", {}).get(model, ())
    return {row["problem_set"]: {k: v for k, v in row.items() if k != "problems"} for row in rows}
