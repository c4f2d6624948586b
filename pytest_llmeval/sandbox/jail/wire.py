"""Length-prefixed messages over file descriptors."""

from __future__ import annotations

import json
import os
from typing import Any

HEADER_BYTES = 4


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


def write_all(fd: int, data: bytes) -> None:
    """Every byte of `data`, however often the kernel takes only a part."""
    written = os.write(fd, data)
    if written == len(data):
        return
    view = memoryview(data)[written:]
    while view:
        view = view[os.write(fd, view) :]


def read_message(fd: int, max_bytes: int = 1 << 30) -> Any:
    """One JSON value; ValueError where it is larger than `max_bytes` or not JSON."""
    size = int.from_bytes(read_exact(fd, HEADER_BYTES), "little")
    if size > max_bytes:
        raise ValueError(f"message of {size} bytes, allowed are {max_bytes}")
    return json.loads(read_exact(fd, size))


def write_message(fd: int, value: Any) -> None:
    """One JSON value; lone surrogates and NUL cross as escapes."""
    data = json.dumps(value, separators=(",", ":")).encode("ascii")
    write_all(fd, len(data).to_bytes(HEADER_BYTES, "little") + data)
