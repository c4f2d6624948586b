"""Which models.toml a command reads: the one named, the project's own, or the one that ships with us."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry
from pytest_llmeval.schema import ModelSpec

REGISTRY = "models.toml"


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry",
        type=Path,
        metavar="PATH",
        help=f"the models to look at (default: llmeval_registry of pyproject.toml, {REGISTRY} in this "
        "folder, else the models that ship with this package)",
    )


def chosen(given: Path | None, folder: Path) -> Path:
    """The registry to read.

    Raises:
        ConfigurationError: the one that was named does not exist.
    """
    named = given or _named_in_pyproject(folder / "pyproject.toml")
    if named is None:
        own = folder / REGISTRY
        return own if own.is_file() else BUILTIN_REGISTRY
    if not (folder / named).is_file():
        where = "--registry" if given else f"llmeval_registry in {folder / 'pyproject.toml'}"
        raise ConfigurationError(f"the model registry {folder / named} does not exist: correct {where}")
    return folder / named


def read(given: Path | None, folder: Path) -> dict[str, ModelSpec]:
    """The models of the chosen registry.

    Raises:
        ConfigurationError: it does not exist, or holds mistakes.
    """
    return load_registry(chosen(given, folder))


def _named_in_pyproject(path: Path) -> Path | None:
    if not path.is_file():
        return None
    try:
        document: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    pytest = document.get("tool", {}).get("pytest", {})
    named = {**pytest, **pytest.get("ini_options", {})}.get("llmeval_registry")
    return Path(named) if named else None
