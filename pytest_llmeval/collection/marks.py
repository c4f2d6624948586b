"""What -m asks for that no item carries: pytest deselects everything then, and says no more."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from pytest_llmeval.extensions import suggestion
from pytest_llmeval.printable import printed
from pytest_llmeval.run import Run

NAME = re.compile(r"\b[A-Za-z_]\w*\b(?!\s*=)")  # not the keys of `mark(key=value)`
WORDS = {"and", "or", "not", "True", "False", "None"}


def unknown_marks(expression: str, items: Iterable[pytest.Item], run: Run) -> list[str]:
    """A line for each name in the expression that no item carries, and the categories and problem sets there are."""
    carried = {marker.name for item in items for marker in item.iter_markers()}
    categories = {category for spec in run.specs.values() for category in spec.categories}
    known = sorted(carried & (categories | run.selection.problem_sets.targets.keys()))
    names = dict.fromkeys(NAME.findall(expression))
    return [
        printed(
            f"llmeval: nothing is selected: no item is marked {name!r}{suggestion(name, known)} "
            f"-m chooses here by {', '.join(known)}"
        )
        for name in names
        if name not in WORDS | carried
    ]
