"""What the sandbox holds a sample to, as proven on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a sample is kept in, strongest first."""

    NAMESPACES = "A"
    LANDLOCK = "B"
    SECCOMP = "B-"
    RLIMITS = "C"


@dataclass(frozen=True, slots=True)
class Isolation:
    """A level with what its self-test proved and what it could not.

    `network`, `files` and `verdict` are short phrases for people; `proven` and `missing` are the names of
    the promises in selftest.py.
    """

    level: Level
    network: str
    files: str
    verdict: str
    proven: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        line = f"level {self.level} (network {self.network}, files {self.files}, verdict {self.verdict})"
        return f"{line}; missing: {', '.join(self.missing)}" if self.missing else line
