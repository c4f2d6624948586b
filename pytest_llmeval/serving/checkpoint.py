"""A model's config.json: in its folder, or in the hub's cache; nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmeval.devices import hub_home
from pytest_llmeval.schema import ModelSpec

CONFIG = "config.json"


def config_of(spec: ModelSpec) -> Mapping[str, Any] | None:
    """The parsed config.json, None where there is none here or it cannot be read."""
    for path in _places(spec):
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict):
            return config
    return None


def _places(spec: ModelSpec) -> list[Path]:
    if Path(spec.model).is_absolute():
        return [Path(spec.model) / CONFIG]
    repository = hub_home() / f"models--{spec.model.replace('/', '--')}"
    wanted = repository / "refs" / (spec.revision or "main")
    commits = [wanted.read_text().strip()] if wanted.is_file() else [spec.revision or ""]
    return [repository / "snapshots" / commit / CONFIG for commit in commits if commit]
