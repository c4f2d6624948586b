"""Length-prefixed messages over file descriptors."""

from __future__ import annotations

import json
import os
from typing import Any

HEADER_BYTES = 4
CONTROL_FD = 200  # a zygote's line to its parent: out of the way of what samples see
CHUNK_S = 0.02  # how long an answer may wait for others to be handed over with it


def read_exact(fd: int, size: int) -> bytes:
    """Exactly `size` bytes; EOFError where the other end closed."""
    data = os.read(fd, size) if size else b""
    if len(data) == size:
        return data
    parts = [data]
    missing = size - len(data)
    while missing:
        data = os.read(fd, min(missing, 1 << 20))
        if not data:
            raise EOFError
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Every byte of `data`, however often the kernel takes only a part."""
    written = os.write(fd, data)
    if written == len(data):
        return
    view = memoryview(data)[written:]
    while view:
        view = view[os.write(fd, view) :]


def read_block(fd: int, max_bytes: int = 1 << 30) -> bytes:
    """One block; ValueError where its header announces more than `max_bytes`."""
    size = int.from_bytes(read_exact(fd, HEADER_BYTES), "little")
    if size > max_bytes:
        raise ValueError(f"a block of {size} bytes, allowed are {max_bytes}")
    return read_exact(fd, size)


def write_block(fd: int, data: bytes) -> None:
    """One block with its header."""
    write_all(fd, block(data))


class Blocks:
    """Blocks from one descriptor, read ahead: several that arrived together cost one call."""

    def __init__(self, fd: int, max_bytes: int) -> None:
        self._fd = fd
        self._max_bytes = max_bytes
        self._ahead = b""
        self._at = 0

    def next(self) -> bytes:
        """The next block; EOFError at the end, ValueError where one is announced that is too large."""
        start = self._at + HEADER_BYTES
        while len(self._ahead) < start:
            self._ahead, self._at, start = self._ahead[self._at :] + self._more(), 0, HEADER_BYTES
        size = int.from_bytes(self._ahead[self._at : start], "little")
        if size > self._max_bytes:
            raise ValueError(f"a block of {size} bytes, allowed are {self._max_bytes}")
        end = start + size
        if len(self._ahead) < end:
            self._ahead += read_exact(self._fd, end - len(self._ahead))
        self._at = end
        return self._ahead[start:end]

    def _more(self) -> bytes:
        data = os.read(self._fd, 1 << 16)
        if not data:
            raise EOFError
        return data


def block(data: bytes) -> bytes:
    """One block as it stands on the wire."""
    return len(data).to_bytes(HEADER_BYTES, "little") + data


def read_message(fd: int) -> Any:
    """One JSON value from a trusted writer."""
    return json.loads(read_block(fd))


def write_message(fd: int, value: Any) -> None:
    """One JSON value; lone surrogates and NUL cross as escapes."""
    write_block(fd, json.dumps(value, separators=(",", ":")).encode("ascii"))
