"""The session without pytest: what is planned, the parts that do the work, and what it leaves."""

from pytest_llmeval.run.session import Run

__all__ = ["Run"]
