"""What a zygote holds of a sample, where it can be wiped: the next sample inherits the zygote's memory.

A freed string lies there until something else is written over it, and a program may search its memory for the
right program of another.
"""

from __future__ import annotations

import os

from . import wire

_PIECE_BYTES = 1 << 16


def read_block(fd: int) -> bytearray:
    """One block from a trusted writer; EOFError where the other end closed."""
    data = bytearray(int.from_bytes(wire.read_exact(fd, wire.HEADER_BYTES), "little"))
    left = memoryview(data)
    while left:
        count = os.readv(fd, [left])
        if not count:
            raise EOFError
        left = left[count:]
    return data


def wipe(data: bytearray | memoryview) -> None:
    """Overwrite it where it lies."""
    data[:] = bytes(len(data))


class Printed:
    """The beginning of what one sample after the other prints."""

    def __init__(self) -> None:
        self._piece = memoryview(bytearray(_PIECE_BYTES))
        self._longest = 0
        self._all = memoryview(bytearray())
        self._bound = 0
        self.total_bytes = 0

    def begin(self, kept_bytes: int) -> None:
        """Forget the sample before; keep so many bytes of this one, and one that is ours."""
        wipe(self._piece[: self._longest])
        wipe(self.kept())
        self._longest = self.total_bytes = 0
        self._bound = kept_bytes + 1
        if len(self._all) < self._bound:
            self._all = memoryview(bytearray(self._bound))

    def read(self, fd: int) -> bool:
        """One piece; False at the end."""
        count = os.readv(fd, [self._piece])
        self._longest = max(self._longest, count)
        end = min(self.total_bytes + count, self._bound)
        if end > self.total_bytes:
            self._all[self.total_bytes : end] = self._piece[: end - self.total_bytes]
        self.total_bytes += count
        return count > 0

    def kept(self) -> memoryview:
        """What is kept so far."""
        return self._all[: min(self.total_bytes, self._bound)]
