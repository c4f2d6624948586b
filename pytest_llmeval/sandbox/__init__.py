"""Judges hostile code at fork speed, with a verdict the code cannot forge."""

from pytest_llmeval.sandbox.executor import Executor
from pytest_llmeval.sandbox.isolation import Isolation, Level
from pytest_llmeval.sandbox.limits import Limits

__all__ = ["Executor", "Isolation", "Level", "Limits"]
