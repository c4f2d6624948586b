"""The runs that are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.keys import differences
from pytest_llmeval.runs.loading import read_manifest
from pytest_llmeval.schema import RecordId


@dataclass(frozen=True)
class Source:
    """One run. `label` names it: its id, told apart where two machines gave the same one."""

    folder: Path
    label: str
    manifest: Mapping[str, Any]

    def tried(self, model: str) -> bool:
        """True where the run was to ask the model and its machine could run it."""
        state = self.manifest.get("states", {}).get(model) or {}
        return model in self.manifest["models"] and not state.get("unavailable")

    def planned(self, model: str) -> set[RecordId]:
        """What the model is asked by all shards together."""
        return {
            RecordId(model, row["problem_set"], task)
            for row in self.manifest.get("planned", ())
            if model in row["models"]
            for task in row["tasks"]
        }

    @property
    def timing(self) -> Mapping[str, Any]:
        """The conditions of its times."""
        found: Mapping[str, Any] = self.manifest.get("keys", {}).get("timing", {})
        return found

    @property
    def shard(self) -> tuple[int, int] | None:
        """Which part of how many."""
        given = self.manifest.get("shard")
        return (given["part"], given["parts"]) if given else None


def read_sources(folders: Sequence[Path]) -> list[Source]:
    """Every run, by its manifest.

    Raises:
        ConfigurationError: a folder holds no run of this schema, or is named twice.
    """
    resolved = [folder.resolve() for folder in folders]
    for folder in resolved:
        if resolved.count(folder) > 1:
            raise ConfigurationError(f"{folder} is named twice")
    taken: dict[str, int] = {}
    sources = []
    for folder in resolved:
        manifest = read_manifest(folder)
        run_id = manifest["run_id"]
        taken[run_id] = taken.get(run_id, 0) + 1
        label = run_id if taken[run_id] == 1 else f"{run_id}~{taken[run_id]}"
        sources.append(Source(folder, label, manifest))
    return sources


def models_of(sources: Sequence[Source]) -> list[str]:
    """Every model, in the order in which the runs name them."""
    return list(dict.fromkeys(name for source in sources for name in source.manifest["models"]))


def that_tried(sources: Sequence[Source], model: str) -> list[Source]:
    return [source for source in sources if source.tried(model)]


def unlike_conditions(sources: Sequence[Source], model: str) -> list[str]:
    """Where the conditions of a model's times differ between its runs: then no speed may be made of them."""
    tried = that_tried(sources, model)
    found = (line for other in tried[1:] for line in differences(tried[0].timing, other.timing))
    return list(dict.fromkeys(found))
