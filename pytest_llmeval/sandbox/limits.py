"""What one sample may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one sample. Times are seconds, sizes are bytes.

    `cpu_s` follows `wall_s` unless it is given: twice as much and a little more, for programs with threads.
    `processes` counts children that a sample may start (0: none; only level A can grant more).
    `output_bytes` ends a sample that prints more; `output_kept_bytes` of it are kept for people to read.
    """

    wall_s: float = 3.0
    cpu_s: int | None = None
    memory_bytes: int = 1024 * MIB
    processes: int = 0
    threads: int = 64
    file_bytes: int = 8 * MIB
    tmp_bytes: int = 64 * MIB
    open_files: int = 64
    output_bytes: int = 32 * MIB
    output_kept_bytes: int = 64 << 10

    @classmethod
    def of(cls, given: Mapping[str, float]) -> Limits:
        """The defaults, but for what is given by name; whole numbers where a field wants them."""
        return cls(**given)  # type: ignore[arg-type]

    def lasting(self, wall_s: float | None) -> Limits:
        """These, with at least `wall_s` of time where that is given; CPU time never ends a sample sooner."""
        if wall_s is None or wall_s <= self.wall_s:
            return self
        cpu_s = None if self.cpu_s is None else max(self.cpu_s, ceil(wall_s))
        return replace(self, wall_s=wall_s, cpu_s=cpu_s)

    def resolved(self) -> Limits:
        """The same limits with every figure in its place."""
        return self if self.cpu_s is not None else replace(self, cpu_s=ceil(2 * self.wall_s) + 2)
