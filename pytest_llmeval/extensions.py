"""Name → "module:attr", imported on first use; an unknown name is answered with the known ones."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from pytest_llmeval.errors import ConfigurationError, MissingExtraError

ENGINES: Mapping[str, str] = {
    "vllm": "pytest_llmeval.engines.vllm:VLLMEngine",
    "openai": "pytest_llmeval.engines.openai:OpenAIEngine",
    "transformers": "pytest_llmeval.engines.transformers:TransformersEngine",
    "replay": "pytest_llmeval.engines.replay:ReplayEngine",
}
PROBLEM_SETS: Mapping[str, str] = {"humaneval": "pytest_llmeval.problems.humaneval:load"}

ENGINES_GROUP = "pytest_llmeval.engines"
PROBLEM_SETS_GROUP = "pytest_llmeval.problems"


def names(builtin: Mapping[str, str], group: str) -> dict[str, str]:
    """Built-in names and those that installed packages add; nothing is imported.

    Raises:
        ConfigurationError: two packages claim one name.
    """
    known = dict(builtin)
    for entry in entry_points(group=group):
        if entry.name in known and known[entry.name] != entry.value:
            raise ConfigurationError(
                f"{group}: the name {entry.name!r} is claimed twice, by {known[entry.name]} and "
                f"{entry.value}; uninstall one of the two packages"
            )
        known[entry.name] = entry.value
    return known


def load(name: str, known: Mapping[str, str], what: str) -> Any:
    """Import what `name` stands for; "module:attr" stands for itself.

    Raises:
        ConfigurationError: no such name.
        MissingExtraError: the module needs a package that is not installed.
    """
    target = name if ":" in name else known.get(name)
    if target is None:
        raise ConfigurationError(
            f"unknown {what} {name!r}{suggestion(name, known)}; known: {', '.join(sorted(known))}"
        )
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{what} {name!r} needs the package {error.name!r}, which is not installed: "
            f"{_how_to_install(name, known)}"
        ) from error


def require(extra: str, *packages: str) -> None:
    """See that the packages of an extra are there, importing none of them.

    Raises:
        MissingExtraError: one is not installed.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(
                f"engine {extra!r} needs the package {package!r}, which is not installed: "
                f"pip install 'pytest-llmeval-bench[{extra}]'"
            )


def _how_to_install(name: str, known: Mapping[str, str]) -> str:
    ours = known.get(name, "").startswith("pytest_llmeval.")
    return f"pip install 'pytest-llmeval-bench[{name}]'" if ours else "install it, or correct the name"


def suggestion(name: str, known: Any) -> str:
    """`; did you mean 'x'?`, or nothing where no known name is close."""
    close = get_close_matches(name, [str(k) for k in known], n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""
