"""models.toml → ModelSpecs: inheritance resolved, every mistake of the file reported at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import suggestion
from pytest_llmeval.schema import ModelSpec, Needs, PromptStyle, Sampling

BUILTIN = "builtin"
DEFAULT_KIND = "vllm"
TABLES = ("include", "defaults", "models", "gate")
PACKAGE = Path(__file__).parent
BUILTIN_REGISTRY = PACKAGE / "models.toml"

# Names become parts of item ids, file names and marker expressions.
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Category = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
# fmt: off
RESERVED_CATEGORIES = frozenset({
    "skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings", "tryfirst", "trylast",
    "benchmark", "problems", "serving", "latency", "throughput", "memory", "goodput",
})
# fmt: on


class Table(BaseModel):
    """A table of models.toml: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SamplingTable(Table):
    n: int = Field(default=1, ge=1)
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    max_tokens: int = Field(default=1024, ge=1)
    stop: list[str] | None = None
    seed: int = 0


class NeedsTable(Table):
    device: Literal["gpu", "any"] = "gpu"
    device_memory_gib: float = Field(default=0.0, ge=0)
    hub: bool = True
    gated: bool = False


class ModelTable(Table):
    model: str = Field(min_length=1)
    kind: str = DEFAULT_KIND
    revision: str | None = None
    categories: list[Category] = []
    prompt_style: Literal["chat", "completion"] = "chat"
    system_prompt: str | None = None
    chat_template_kwargs: dict[str, Any] = {}
    sampling: SamplingTable = SamplingTable()
    engine: dict[str, Any] = {}
    environment: dict[str, str] = {}
    needs: NeedsTable = NeedsTable()
    token_env: str = "HF_TOKEN"
    description: str = ""


# Keys that steer inheritance and are used up before an entry is validated.
INHERITANCE_KEYS = frozenset({"extends", "unset"})


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
        below = gate_table(BUILTIN_REGISTRY if included == BUILTIN else path.parent / included)
        table = merge(table, below) if isinstance(below, Mapping) else below
    own = document.get("gate", {})
    return merge(table, own) if isinstance(own, Mapping) and isinstance(table, Mapping) else own


class _Reader:
    """Collects raw entries over included files, then resolves and validates them."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.homes: dict[str, Path] = {}
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
            self.entries[name] = entry if "extends" in entry else lay_over(defaults, entry)
            self.homes[name] = path.parent
        self.reading.pop()

    def _include(self, included: str, path: Path) -> None:
        target = BUILTIN_REGISTRY if included == BUILTIN else path.parent / included
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
                specs[name] = _spec(name, table, self.homes[name])
        if self.mistakes:
            count = len(self.mistakes)
            raise ConfigurationError(
                f"{path} has {count} mistake{'s' if count > 1 else ''}:\n"
                + "\n".join(f"  {mistake}" for mistake in self.mistakes)
            )
        return specs

    def _validated(self, name: str) -> ModelTable | None:
        before = len(self.mistakes)
        self._check_name(name)
        raw = self._inherited(name, [])
        try:
            table = ModelTable.model_validate(raw)
        except ValidationError as error:
            self.mistakes += _explain(f"models.{name}", error)
            return None
        for category in sorted(RESERVED_CATEGORIES & set(table.categories)):
            self.mistakes.append(f"models.{name}.categories: {category!r} is a marker of pytest's own")
        return table if len(self.mistakes) == before else None

    def _check_name(self, name: str) -> None:
        try:
            _NAME.model_validate({"name": name})
        except ValidationError:
            self.mistakes.append(f"models.{name}: a name holds letters, digits, '_', '.' and '-' only")

    def _inherited(self, name: str, below: list[str]) -> dict[str, Any]:
        """The entry laid over the one it extends; `below` is the chain walked so far, for cycles."""
        entry = {k: v for k, v in self.entries[name].items() if k not in INHERITANCE_KEYS}
        parent = self.entries[name].get("extends")
        if parent is None:
            base: dict[str, Any] = {}
        elif parent in (*below, name):
            self._once(f"models.{name}.extends: goes in a circle: {' → '.join([*below, name, parent])}")
            base = {"model": "unknown"}
        elif parent not in self.entries:
            self._once(f"models.{name}.extends: no model {parent!r}{suggestion(str(parent), self.entries)}")
            base = {"model": "unknown"}
        else:
            base = self._inherited(parent, [*below, name])
        for path in _list_of_str(self.entries[name], "unset", self.mistakes, f"models.{name}."):
            base = _without(base, path.split("."))
        return lay_over(base, entry)

    def _once(self, mistake: str) -> None:
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)


class _NameTable(Table):
    name: ModelName


_NAME = _NameTable


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


def _explain(where: str, error: ValidationError) -> Iterator[str]:
    """pydantic's findings as lines that name the key, what is wrong and the key that may be meant."""
    for finding in error.errors(include_url=False):
        *parents, key = finding["loc"]
        path = ".".join(str(part) for part in (where, *parents, key))
        if finding["type"] == "extra_forbidden":
            yield f"{path}: unknown key{suggestion(str(key), _keys_at(parents))}"
        elif finding["type"] == "missing":
            yield f"{path}: is missing"
        else:
            yield f"{path}: {finding['msg'][0].lower()}{finding['msg'][1:]} (got {finding['input']!r})"


def _keys_at(parents: list[int | str]) -> list[str]:
    tables: dict[str, type[Table]] = {"sampling": SamplingTable, "needs": NeedsTable}
    table = tables.get(str(parents[0]), ModelTable) if parents else ModelTable
    extra = () if parents else tuple(INHERITANCE_KEYS)
    return [*table.model_fields, *extra]


def check_sampling(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Some keys of a `sampling` table, as a suite's marker or the command line gives them.

    Raises:
        ConfigurationError: unknown keys or values that make no sense; all of them are named.
    """
    listed = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    try:
        _SamplingOnly.model_validate({"sampling": listed})
    except ValidationError as error:
        mistakes = [line.removeprefix(f"{where}.sampling.") for line in _explain(where, error)]
        raise ConfigurationError(f"{where}: {'; '.join(mistakes)}") from error
    return {key: tuple(value) if isinstance(value, list) else value for key, value in listed.items()}


class _SamplingOnly(Table):
    sampling: SamplingTable


def _spec(name: str, table: ModelTable, home: Path) -> ModelSpec:
    return ModelSpec(
        name=name,
        model=locate_model(table.model, home),
        kind=table.kind,
        revision=table.revision,
        categories=tuple(table.categories),
        prompt_style=PromptStyle(table.prompt_style),
        system_prompt=table.system_prompt,
        chat_template_kwargs=table.chat_template_kwargs,
        sampling=Sampling(**{**table.sampling.model_dump(), "stop": _strings(table.sampling.stop)}),
        engine=table.engine,
        environment=table.environment,
        needs=Needs(**table.needs.model_dump()),
        token_env=table.token_env,
        description=table.description,
    )


def _strings(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def locate_model(model: str, home: Path) -> str:
    """A hub id stays as it is; `builtin:NAME` and paths (./, ../, /, ~) become absolute paths."""
    if model.startswith(f"{BUILTIN}:"):
        return str(PACKAGE / "models" / model.removeprefix(f"{BUILTIN}:"))
    if model.startswith(("./", "../", "/", "~")):
        return str((home / Path(model).expanduser()).resolve())
    return model
