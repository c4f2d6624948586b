"""A socket to a process of the jail, with what arrived read ahead: several blocks together cost one call."""

from __future__ import annotations

import socket

from pytest_llmeval.sandbox.jail import wire

_READ_BYTES = 1 << 16


class Stream:
    """Blocks over a socket; OSError (also TimeoutError) from any of these says that the other side is lost."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._ahead = b""

    def send(self, data: bytes) -> None:
        self._socket.settimeout(None)
        self._socket.sendall(data)

    def block(self, timeout_s: float) -> bytes:
        """The next block; `timeout_s` bounds each wait for more of it."""
        if self._socket.gettimeout() != timeout_s:
            self._socket.settimeout(timeout_s)
        self._fill(wire.HEADER_BYTES)
        end = wire.HEADER_BYTES + int.from_bytes(self._ahead[: wire.HEADER_BYTES], "little")
        self._fill(end)
        block, self._ahead = self._ahead[wire.HEADER_BYTES : end], self._ahead[end:]
        return block

    def _fill(self, size: int) -> None:
        parts, held = [self._ahead], len(self._ahead)
        while held < size:
            part = self._socket.recv(max(_READ_BYTES, min(size - held, 1 << 20)))
            if not part:
                raise ConnectionResetError("the process on the other side died")
            parts.append(part)
            held += len(part)
        self._ahead = b"".join(parts) if len(parts) > 1 else self._ahead

    def interrupt(self) -> None:
        """Make every call that waits fail; callable from any thread."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was lost already

    def drain(self, timeout_s: float) -> None:
        """Wait for the end: it says that every process that could hold the other side is dead."""
        self._socket.settimeout(timeout_s)
        try:
            while self._socket.recv(_READ_BYTES):
                continue
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()
