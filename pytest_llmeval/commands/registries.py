"""Which models.toml a command reads: the one named, the project's own, or the one that ships with us."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from configparser import Error, RawConfigParser
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.paths import path_below
from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry
from pytest_llmeval.schema import ModelSpec

REGISTRY = "models.toml"
# Where pytest looks for its configuration, in its order.
CONFIGURATIONS = (
    *("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"),
)


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry",
        type=Path,
        metavar="PATH",
        help=f"the models to look at (default: llmeval_registry of pytest's configuration, {REGISTRY} in "
        "this folder, else the models that ship with this package)",
    )


def chosen(given: Path | None, folder: Path) -> Path:
    """The registry to read.

    Raises:
        ConfigurationError: the one that was named does not exist.
    """
    named, where = (folder / given, "--registry") if given else _named_for_pytest(folder)
    if named is None:
        own = folder / REGISTRY
        return own if own.is_file() else BUILTIN_REGISTRY
    if not named.is_file():
        raise ConfigurationError(f"the model registry {named} does not exist: correct {where}")
    return named


def read(given: Path | None, folder: Path) -> dict[str, ModelSpec]:
    """The models of the chosen registry.

    Raises:
        ConfigurationError: it does not exist, or holds mistakes.
    """
    return load_registry(chosen(given, folder))


def _named_for_pytest(folder: Path) -> tuple[Path | None, str]:
    """The registry that a run of pytest in this folder would read, and where it is named."""
    for home in (folder, *folder.parents):
        for name in CONFIGURATIONS:
            if (settings := _settings(home / name)) is not None:
                named = settings.get("llmeval_registry")
                return named and path_below(home, str(named)), f"llmeval_registry in {home / name}"
    return None, ""


def _settings(path: Path) -> Mapping[str, Any] | None:
    """What a file tells pytest; None where pytest would look into another."""
    if not path.is_file():
        return None
    try:
        return _of_toml(path) if path.suffix == ".toml" else _of_ini(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, Error) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _of_toml(path: Path) -> Mapping[str, Any] | None:
    document: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    if path.name != "pyproject.toml":
        own: Mapping[str, Any] = document.get("pytest", {})
        return own
    table = document.get("tool", {}).get("pytest")
    return None if table is None else {**table, **table.get("ini_options", {})}


def _of_ini(path: Path) -> Mapping[str, Any] | None:
    ini = RawConfigParser(strict=False, allow_no_value=True)
    ini.read_string(path.read_text(encoding="utf-8"))
    section = "tool:pytest" if path.name == "setup.cfg" else "pytest"
    if section in ini:
        return dict(ini[section].items())
    return {} if path.name in ("pytest.ini", ".pytest.ini") else None
