"""Which problems belong to which part of a run: for CI jobs and machines, and for workers of one machine.

A problem's part follows from its name and the names beside it, not from the order in which anything was collected:
every job finds the same parts by itself. Names are dealt out in the order of their hashes, so that neither rising
difficulty nor lengths that alternate end up in one part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any


def deal(names: Iterable[str], parts: int, salt: str = "") -> dict[str, int]:
    """Name → its part, 1 to `parts`; parts differ by one name at most.

    `salt` (a problem set's name) moves where dealing begins: of several sets, no part gets all the larger shares.
    """
    start = _hash(salt) % parts
    ranked = sorted(set(names), key=lambda name: (_hash(f"{salt}\0{name}"), name))
    return {name: (start + place) % parts + 1 for place, name in enumerate(ranked)}


def rows_of(asked: Mapping[str, Iterable[tuple[str, str]]]) -> list[dict[str, Any]]:
    """What models are asked, as manifests hold it: a row for each list of problems, with the models that share it.

    Args:
        asked: model → (problem set, task id) of its problems.
    """
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for model, problems in asked.items():
        by_set: dict[str, list[str]] = {}
        for problem_set, task_id in problems:
            by_set.setdefault(problem_set, []).append(task_id)
        for problem_set, tasks in by_set.items():
            rows.setdefault((problem_set, tuple(tasks)), []).append(model)
    return [{"models": models, "problem_set": name, "tasks": tasks} for (name, tasks), models in rows.items()]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
