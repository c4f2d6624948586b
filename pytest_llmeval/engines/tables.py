"""An entry's `engine` table where its arguments are ours to check: every mistake is named at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import suggestion
from pytest_llmeval.schema import ModelSpec


class EngineTable(BaseModel):
    """What an engine takes from its entry's `engine` table; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Table = TypeVar("Table", bound=EngineTable)


def read_table(spec: ModelSpec, table: type[Table]) -> Table:
    """The checked `engine` table of an entry.

    Raises:
        ConfigurationError: it holds mistakes. Values are not repeated: one may be a key put in a wrong place.
    """
    try:
        return table.model_validate(dict(spec.engine))
    except ValidationError as error:
        mistakes = "\n".join(f"  {mistake}" for mistake in _explain(error, list(table.model_fields)))
        raise ConfigurationError(
            f"models.{spec.name}: its engine table does not fit kind {spec.kind!r}:\n{mistakes}"
        ) from None


def _explain(error: ValidationError, known: list[str]) -> Iterator[str]:
    for finding in error.errors(include_url=False, include_input=False):
        key = ".".join(map(str, finding["loc"]))
        if finding["type"] == "extra_forbidden":
            yield f"engine.{key}: unknown key{suggestion(key, known)}; known: {', '.join(known)}"
        elif finding["type"] == "missing":
            yield f"engine.{key}: is missing"
        else:
            yield f"engine.{key}: {finding['msg'].removeprefix('Value error, ')}"
