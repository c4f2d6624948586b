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

    `means` says what the level is made with: level A has two ways, bubblewrap and namespaces of our own.
    `network`, `files` and `verdict` are short phrases for people; `proven` and `missing` are the names of
    the promises in selftest.py.
    """

    level: Level
    network: str
    files: str
    verdict: str
    means: str
    proven: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        promises = f"network {self.network}, files {self.files}, verdict {self.verdict}"
        line = f"level {self.level} by {self.means} ({promises})"
        return f"{line}; missing: {', '.join(self.missing)}" if self.missing else line
