"""Hooks that a project's conftest.py, or another plugin, may implement."""

from collections.abc import Mapping

__all__ = ["pytest_llmeval_engines", "pytest_llmeval_problem_sets"]


def pytest_llmeval_engines() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Engines of this project: name → "module:attr" of a class like those in `pytest_llmeval.engines`.

    The name can then stand as `kind` in models.toml. A name that is taken is an error.
    """


def pytest_llmeval_problem_sets() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Problem sets of this project: name → "module:attr" of a function that returns a ProblemSet.

    The name is a marker of its items, and can stand in `@pytest.mark.problems(name)`.
    """
