"""models.toml → ModelSpecs: inheritance resolved, every mistake of the file reported at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import RESERVED_MARKERS, suggestion
from pytest_llmeval.paths import path_below
from pytest_llmeval.registry.tables import (
    DEFAULT_KIND,
    INHERITANCE_KEYS,
    ModelTable,
    NameTable,
    check_sampling,
    explain,
    spec_of,
)
from pytest_llmeval.schema import ModelSpec

__all__ = ["BUILTIN_REGISTRY", "check_sampling", "gate_table", "lay_over", "load_registry", "merge"]

BUILTIN = "builtin"
TABLES = ("include", "defaults", "models", "gate")
PACKAGE = Path(__file__).parents[1]
BUILTIN_REGISTRY = PACKAGE / "models.toml"


def load_registry(path: Path) -> dict[str, ModelSpec]:
    """Read a registry and what it includes.

    Returns:
        name → ModelSpec, in file order, included files first.

    Raises:
        ConfigurationError: the file cannot be read, or holds mistakes; all of them are named.
    """
    reader = _Reader()
    reader.read(path)
    return reader.resolve(path)


def gate_table(path: Path) -> Any:
    """The `[gate]` of a registry over those of the registries it includes; `gate.rules` checks what is in it.

    To be called for a registry that `load_registry` has read: then all files are there and include no circle.
    """
    document = _parse(path)
    table: Any = {}
    for included in document.get("include", []):
        below = gate_table(BUILTIN_REGISTRY if included == BUILTIN else path_below(path.parent, included))
        table = merge(table, below) if isinstance(below, Mapping) else below
    own = document.get("gate", {})
    return merge(table, own) if isinstance(own, Mapping) and isinstance(table, Mapping) else own


class _Reader:
    """Collects raw entries over included files, then resolves and validates them."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.mistakes: list[str] = []
        self.reading: list[Path] = []

    def read(self, path: Path) -> None:
        if path in self.reading:
            self.mistakes.append(f"include: {path} includes itself")
            return
        self.reading.append(path)
        document = _parse(path)
        for key in sorted(set(document) - set(TABLES)):
            self.mistakes.append(f"{key}: unknown table{suggestion(key, TABLES)}")
        for included in _list_of_str(document, "include", self.mistakes):
            self._include(included, path)
        defaults = self._table(document, "defaults")
        for name, entry in self._table(document, "models").items():
            if not isinstance(entry, dict):
                self.mistakes.append(f"models.{name}: must be a table, as in [models.{name}]")
                continue
            whole = entry if "extends" in entry else lay_over(defaults, entry)
            self.entries[name] = anchored(whole, path.parent)
        self.reading.pop()

    def _include(self, included: str, path: Path) -> None:
        target = BUILTIN_REGISTRY if included == BUILTIN else path_below(path.parent, included)
        if target.is_file():
            self.read(target.resolve())
        else:
            self.mistakes.append(f'include: {target} does not exist ("{BUILTIN}" is the registry we ship)')

    def _table(self, document: Mapping[str, Any], key: str) -> dict[str, Any]:
        table = document.get(key, {})
        if isinstance(table, dict):
            return table
        self.mistakes.append(f"{key}: must be a table")
        return {}

    def resolve(self, path: Path) -> dict[str, ModelSpec]:
        specs = {}
        for name in self.entries:
            table = self._validated(name)
            if table is not None:
                specs[name] = spec_of(name, table)
        mistakes = list(dict.fromkeys(self.mistakes))  # one of a parent is met again below each child
        if mistakes:
            count = len(mistakes)
            raise ConfigurationError(
                f"{path} has {count} mistake{'s' if count > 1 else ''}:\n"
                + "\n".join(f"  {mistake}" for mistake in mistakes)
            )
        return specs

    def _validated(self, name: str) -> ModelTable | None:
        before = len(self.mistakes)
        self._check_name(name)
        raw = self._inherited(name, [])
        try:
            table = ModelTable.model_validate(raw)
        except ValidationError as error:
            self.mistakes += explain(f"models.{name}", error)
            return None
        for category in sorted(RESERVED_MARKERS & set(table.categories)):
            self.mistakes.append(f"models.{name}.categories: {category!r} has a meaning as a marker already")
        return table if len(self.mistakes) == before else None

    def _check_name(self, name: str) -> None:
        try:
            NameTable.model_validate({"name": name})
        except ValidationError:
            self.mistakes.append(f"models.{name}: a name holds letters, digits, '_', '.' and '-' only")

    def _inherited(self, name: str, below: list[str]) -> dict[str, Any]:
        """The entry laid over the one it extends; `below` is the chain walked so far, for cycles."""
        entry = {k: v for k, v in self.entries[name].items() if k not in INHERITANCE_KEYS}
        parent = self.entries[name].get("extends")
        if parent is None:
            base: dict[str, Any] = {}
            if "unset" in self.entries[name]:
                self.mistakes.append(
                    f"models.{name}.unset: drops keys of the entry it extends: name that one"
                )
        elif not isinstance(parent, str):
            self.mistakes.append(f"models.{name}.extends: must be the name of one model, found {parent!r}")
            base = {"model": "unknown"}
        elif parent in (*below, name):
            self.mistakes.append(
                f"models.{name}.extends: goes in a circle: {' → '.join([*below, name, parent])}"
            )
            base = {"model": "unknown"}
        elif parent not in self.entries:
            self.mistakes.append(
                f"models.{name}.extends: no model {parent!r}{suggestion(parent, self.entries)}"
            )
            base = {"model": "unknown"}
        else:
            base = self._dropped(name, self._inherited(parent, [*below, name]))
        return lay_over(base, entry)

    def _dropped(self, name: str, base: dict[str, Any]) -> dict[str, Any]:
        """What an entry extends, without what it unsets; a key that is not there would be a slip unnoticed."""
        for path in _list_of_str(self.entries[name], "unset", self.mistakes, f"models.{name}."):
            if path not in (known := list(_paths(base))):
                meant = suggestion(path, known)
                self.mistakes.append(f"models.{name}.unset: there is no {path!r} to drop{meant}")
            base = _without(base, path.split("."))
        return base


def lay_over(base: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry over what it builds on; `engine` tables belong to their kind: another kind starts afresh."""
    kind = base.get("kind", DEFAULT_KIND)
    return merge(base if entry.get("kind", kind) == kind else _without(base, ["engine"]), entry)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another: tables merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(inner, value) if both else value  # type: ignore[arg-type]  # `both` narrows it
    return merged


def _paths(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every key of a table and of the tables in it, as `engine.dtype`."""
    for key, value in table.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{above}{key}.")


def _without(table: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
    head, *rest = path
    kept = {key: value for key, value in table.items() if key != head}
    if rest and isinstance(table.get(head), Mapping):
        kept[head] = _without(table[head], rest)
    return kept


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _list_of_str(table: Mapping[str, Any], key: str, mistakes: list[str], where: str = "") -> list[str]:
    value = table.get(key, [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    mistakes.append(f"{where}{key}: must be a list of strings")
    return []


def anchored(entry: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """An entry whose paths hold wherever it is extended: those of a file are relative to that file."""
    found = dict(entry)
    if isinstance(model := entry.get("model"), str):
        found["model"] = locate_model(model, home)
    for key in ("instruction", "chat_template"):
        value = entry.get(key)
        if isinstance(value, str) and "{" not in value:  # a template says something in braces
            found[key] = str(path_below(home, value).resolve())
    if isinstance(sets := entry.get("problem_sets"), Mapping):
        found["problem_sets"] = {
            name: anchored(inner, home) if isinstance(inner, Mapping) else inner
            for name, inner in sets.items()
        }
    return found


def locate_model(model: str, home: Path) -> str:
    """A hub id stays as it is; `builtin:NAME` and paths (./, ../, /, ~) become absolute paths."""
    if model.startswith(f"{BUILTIN}:"):
        return str(PACKAGE / "models" / model.removeprefix(f"{BUILTIN}:"))
    if model.startswith(("./", "../", "/", "~")):
        return str(path_below(home, model).resolve())
    return model
