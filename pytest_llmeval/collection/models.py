"""Which models of the registry have items in this session."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import suggestion
from pytest_llmeval.run import Run


def chosen_models(run: Run) -> list[str]:
    """Names of the models whose items exist at all, in registry order; those of --deselect are left out later.

    Raises:
        ConfigurationError: a pattern matches no model, or no model is left: pytest would call that a success.
    """
    options = run.options
    if not run.specs:
        raise ConfigurationError(
            f'{options.registry} holds no model: add a table [models.NAME], or include = ["builtin"]'
        )
    _refuse_patterns_without_a_model("--llmeval-models", options.models, run)
    _refuse_patterns_without_a_model("--llmeval-exclude-models", options.exclude_models, run)
    wanted = [name for name in run.specs if not options.models or _matches(name, options.models)]
    chosen = [name for name in wanted if not _matches(name, options.exclude_models)]
    if not chosen:
        flags = "--llmeval-models and " if options.models else ""
        raise ConfigurationError(
            f"{flags}--llmeval-exclude-models leave no model of {options.registry}: {', '.join(run.specs)}"
        )
    return chosen


def _refuse_patterns_without_a_model(flag: str, patterns: tuple[str, ...], run: Run) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in run.specs):
            raise ConfigurationError(f"{flag}: no model matches {pattern!r}{_did_you_mean(pattern, run)}")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _did_you_mean(name: str, run: Run) -> str:
    if run.options.samples:
        return f". {run.options.samples} takes the place of the registry's models: its own name is samples"
    return f"{suggestion(name, run.specs) or '.'} {run.options.registry} has: {', '.join(run.specs)}"


def take_deselected_models(config: pytest.Config, run: Run) -> set[str]:
    """Take model names out of --deselect, which pytest itself would ignore silently.

    Raises:
        ConfigurationError: a bare word is close to a model's name but is none.
    """
    given = list(config.option.deselect or [])
    names = {entry for entry in given if entry in run.specs}
    for entry in given:
        meant = suggestion(entry, run.specs)
        if entry not in names and meant and _looks_like_a_name(config, entry):
            raise ConfigurationError(f"--deselect {entry}: no such model{meant}")
    config.option.deselect = [entry for entry in given if entry not in names]
    return names


def _looks_like_a_name(config: pytest.Config, entry: str) -> bool:
    """Not a node id: no `::`, no file of that name."""
    return "::" not in entry and not (config.rootpath / entry).exists()
