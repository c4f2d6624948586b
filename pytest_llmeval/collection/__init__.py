"""From the registry and the problem sets to items, and from the selected items to the plan."""

from pytest_llmeval.collection.models import chosen_models, take_deselected_models
from pytest_llmeval.collection.own_files import add_own_files, own_module
from pytest_llmeval.collection.parameters import (
    Absence,
    absence,
    is_our_fixture,
    model_of,
    parametrize,
    problem_of,
    register_markers,
)
from pytest_llmeval.collection.plan import CLOCK, CollectionHooks

__all__ = [
    "CLOCK",
    "Absence",
    "CollectionHooks",
    "absence",
    "add_own_files",
    "chosen_models",
    "is_our_fixture",
    "model_of",
    "own_module",
    "parametrize",
    "problem_of",
    "register_markers",
    "take_deselected_models",
]
