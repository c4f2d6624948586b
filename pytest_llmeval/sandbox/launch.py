"""How a zygote is started at each level: what encloses the interpreter, and what it is told to do."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pytest_llmeval.sandbox.interpreter import Interpreter
from pytest_llmeval.sandbox.isolation import Level
from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.sandbox.view import DEVICES, bubblewrap, enclosure, site_paths, view

FIRST_SPARE_UID, SPARE_UIDS = 61_000, 4_000
# Warm for every sample. Each module makes every fork dearer, so only what programs import all the time.
PRELOAD = (
    "math", "re", "itertools", "collections", "functools", "heapq", "bisect", "random", "string", "copy",
    "typing", "operator", "datetime",
)  # fmt: skip
CHECKER_PRELOAD = ("math", "typing", "random", "copy", "string")

_spare = itertools.count(os.getpid() * 16)


class Means(StrEnum):
    """What a level is made with."""

    BUBBLEWRAP = "bubblewrap"
    NAMESPACES = "own namespaces"
    LANDLOCK = "Landlock and seccomp"
    SECCOMP = "seccomp"
    RLIMITS = "limits"

    @property
    def level(self) -> Level:
        return _LEVELS[self]


_LEVELS = {
    Means.BUBBLEWRAP: Level.NAMESPACES,
    Means.NAMESPACES: Level.NAMESPACES,
    Means.LANDLOCK: Level.LANDLOCK,
    Means.SECCOMP: Level.SECCOMP,
    Means.RLIMITS: Level.RLIMITS,
}


@dataclass(frozen=True, slots=True)
class Launch:
    """What stands before the interpreter on the command line, and what the zygote is told.

    `enclosure` goes to jail/enclose.py, which then runs first in the same process; None: it does not.
    """

    command: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    enclosure: dict[str, Any] | None = None


def launches(means: Means, interpreter: Interpreter, limits: Limits, work: str) -> Iterator[Launch]:
    """The ways to start by `means`, best first; SandboxFault where this machine offers none."""
    root = os.geteuid() == 0
    uid = FIRST_SPARE_UID + next(_spare) % SPARE_UIDS if root else None
    config: dict[str, Any] = {
        "level": means.level.value,
        "uid": uid,
        "keep_search": False,
        "site": list(interpreter.site),
        "tmp_bytes": limits.tmp_bytes,
        "work": "/",
    }
    match means:
        case Means.BUBBLEWRAP:
            config["site"] = site_paths(interpreter)
            for proc in (("--proc", "/proc"), ("--bind", "/proc", "/proc")):
                yield Launch(bubblewrap(view(interpreter), root, proc), config)
        case Means.NAMESPACES:
            config["site"] = site_paths(interpreter)
            yield Launch(config=config, enclosure=enclosure(view(interpreter)))
        case Means.LANDLOCK:
            hidden = root and not interpreter.readable_by_others()
            paths = {
                "readable": [*interpreter.readable(), *DEVICES],
                "listable": [str(interpreter.stdlib)],
                "writable": ["/dev/null"],
            }
            yield Launch(config=config | paths | {"keep_search": hidden})
        case Means.SECCOMP:
            yield Launch(config=config | {"uid": uid if interpreter.readable_by_others() else None})
        case Means.RLIMITS:
            yield Launch(config=config | {"uid": None, "work": work})
