"""For people who extend us, and for our own tests: fakes, and contract tests to subclass."""

from __future__ import annotations

import pytest

# Before the import: so that a broken promise is shown with the values that broke it.
pytest.register_assert_rewrite("pytest_llmeval.testing.contract")

from pytest_llmeval.testing.contract import (  # noqa: E402  # see above
    EngineContract,
    GenerationContract,
    humaneval_requests,
    variant,
)
from pytest_llmeval.testing.fakes import FakeEngine  # noqa: E402  # see above

__all__ = ["EngineContract", "FakeEngine", "GenerationContract", "humaneval_requests", "variant"]
