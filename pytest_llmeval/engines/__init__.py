"""Engines: loaded models that answer Requests. `Engine` is what an engine must be; each kind is a module."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmeval import extensions
from pytest_llmeval.errors import EngineFault, LLMEvalError, what_and_where
from pytest_llmeval.placement.places import Placement
from pytest_llmeval.schema import Completion, MemoryBreakdown, ModelSpec, Request

if TYPE_CHECKING:  # the host's modules are imported with the engines that have one
    from pytest_llmeval.engines.host.launchers import Launchers

__all__ = ["Engine", "EngineContext", "EngineInfo", "EngineStatus", "Progress"]

Progress = Callable[[str, str], None]  # stage, how far: ("loading", "12 s")


@dataclass(frozen=True)
class EngineContext:
    """What an engine gets besides its ModelSpec: where its log goes, how long loading may take, and how long
    a loaded engine may be silent while requests wait before it counts as hanging.

    `placement` is where it is to be, when several engines run side by side: an engine keeps to the devices that
    `environ` shows. None: it has the machine to itself.
    `launchers` start its hosts where that is not this machine.
    """

    log_path: Path
    load_timeout_s: float
    silence_limit_s: float = 600.0
    placement: Placement | None = None
    launchers: Launchers | None = None

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of this process, as the engine's own processes are to see it."""
        return os.environ if self.placement is None else self.placement.over()

    @property
    def placed(self) -> Mapping[str, str]:
        """What `environ` holds because of the placement alone."""
        return {} if self.placement is None else self.placement.environment


@dataclass(frozen=True)
class EngineInfo:
    """What was really loaded: seconds of importing and loading, where its memory goes, and what it tells of itself.

    `synthetic` is true where the engine takes a Prompt's `token_ids` and heeds `ignore_eos`, so that requests
    of exact lengths can be made.
    """

    import_s: float | None = None
    load_s: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    memory: MemoryBreakdown | None = None
    synthetic: bool = False


@dataclass(frozen=True)
class EngineStatus:
    """How an engine fares since it was loaded.

    `trouble` is a few words for people who wait ("no sign of life for 40 s"), empty where there is none.
    `notes` are what readers of its figures must know, for the manifest and the report ("died and was started
    again: ..."). `kv_peak_tokens` and `kv_peak_share` (of the pool, 0 to 1) are the most of the KV cache that
    was in use at a time; None means not measured.
    """

    trouble: str = ""
    notes: tuple[str, ...] = ()
    kv_peak_tokens: int | None = None
    kv_peak_share: float | None = None


class Engine(Protocol):
    """A model that answers. Constructing one may start preparations (a process, imports) but never loads.

    An engine whose model lives elsewhere sets `holds_weights = False` in its class: several processes may then have
    one each, as pytest-xdist's workers do.

    Derive from it: an engine without a cache or background work then writes `load`, `submit` and `close` alone,
    and what a later version asks of engines has an answer here.
    """

    def load(self, progress: Progress) -> EngineInfo:
        """Load the model and return when it can answer; `progress` is called now and then.

        Raises:
            EngineFault: it did not load; the message explains why, once and in full.
        """

    def submit(self, request: Request) -> Future[Completion]:
        """Queue one request; never blocks. The future raises EngineFault where no answer will come.

        The future may be cancelled while its answer has not come: the engine then drops the request, or lets it
        run out unseen where it cannot; other requests go on.
        """

    def reset_cache(self) -> None:
        """Forget cached prefixes, so that the next request pays its whole prefill; without a cache, nothing."""
        return None

    @property
    def is_preparing(self) -> bool:
        """True while it imports in the background, which would disturb a latency measurement beside it."""
        return False

    @property
    def status(self) -> EngineStatus:
        """How it fares; may be asked from any thread and at any time, also after `close()`."""
        return EngineStatus()

    def close(self) -> None:
        """Give back device memory, processes and files; pending futures fail. May be called twice."""


def holds_weights(spec: ModelSpec, known: extensions.Catalogue | None = None) -> bool:
    """True where the engine of `spec` loads its model on this machine; where it cannot be imported, too."""
    try:
        return bool(getattr((known or extensions.engines()).load(spec.kind), "holds_weights", True))
    except LLMEvalError:
        return True


def create_engine(
    spec: ModelSpec, context: EngineContext, known: extensions.Catalogue | None = None
) -> Engine:
    """Construct the engine that `spec.kind` names; `known` are the engines of this project and ours.

    Raises:
        ConfigurationError: no engine has that name, or its table does not fit.
        MissingExtraError: its packages are not installed.
        EngineFault: it raised something else, which is a mistake of its own.
    """
    make = (known or extensions.engines()).load(spec.kind)
    try:
        engine: Engine = make(spec, context)
    except LLMEvalError:
        raise
    except Exception as error:  # others' code raises whatever it likes
        raise EngineFault(f"kind {spec.kind!r} cannot be made: {what_and_where(error)}") from error
    return engine
