"""What pytest and an engine host say to each other: one JSON object per line, typed, both ways."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from pytest_llmeval.schema import Completion, MemoryBreakdown, ModelSpec, Request


@dataclass(frozen=True)
class Load:
    """To the host: load this model."""

    spec: ModelSpec
    type: Literal["load"] = "load"


@dataclass(frozen=True)
class Submit:
    """To the host: queue this request."""

    request: Request
    type: Literal["submit"] = "submit"


@dataclass(frozen=True)
class ResetCache:
    """To the host: forget cached prefixes."""

    type: Literal["reset_cache"] = "reset_cache"


@dataclass(frozen=True)
class Cancel:
    """To the host: nobody waits for this request any more; its answer may come all the same."""

    request_id: str
    type: Literal["cancel"] = "cancel"


@dataclass(frozen=True)
class Imported:
    """From the host: the heavy imports are done, after `seconds`."""

    seconds: float
    type: Literal["imported"] = "imported"


@dataclass(frozen=True)
class Alive:
    """From the host, once a second: the engine's loop gave its last sign of life `quiet_s` ago."""

    quiet_s: float
    type: Literal["alive"] = "alive"


@dataclass(frozen=True)
class Ready:
    """From the host: the model answers; it took `load_s` seconds to load."""

    import_s: float
    load_s: float
    facts: dict[str, Any] = field(default_factory=dict)
    memory: MemoryBreakdown | None = None
    type: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Failed:
    """From the host: it will not load, or has died; `error` is one line in the engine's own words."""

    error: str
    type: Literal["failed"] = "failed"


@dataclass(frozen=True)
class Done:
    """From the host: the answer to one request; `kv_peak_share` of the KV pool was in use at most so far."""

    request_id: str
    completion: Completion
    kv_peak_share: float | None = None
    type: Literal["done"] = "done"


@dataclass(frozen=True)
class RequestFailed:
    """From the host: this one request cannot be answered; the engine lives on."""

    request_id: str
    error: str
    type: Literal["request_failed"] = "request_failed"


ToHost = Load | Submit | ResetCache | Cancel
FromHost = Alive | Imported | Ready | Failed | Done | RequestFailed

_ADAPTER: TypeAdapter[Any] = TypeAdapter(Annotated[ToHost | FromHost, Field(discriminator="type")])


def encode(message: ToHost | FromHost) -> bytes:
    """One line. ASCII, so that lone surrogates of a model's answer survive."""
    return json.dumps(_ADAPTER.dump_python(message, mode="json"), allow_nan=False).encode("ascii") + b"\n"


def decode(line: bytes) -> Any:
    """The message in one line.

    Raises:
        ValueError: the line is no message of this protocol.
    """
    return _ADAPTER.validate_python(json.loads(line))
