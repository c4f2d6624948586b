"""A file of JSON lines that a crash, a kill or a full disk cannot spoil: whole lines, or nothing."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_llmeval.errors import LLMEvalError

TAIL_BYTES = 1 << 16


class Lines:
    """Appends lines to one file. `append` may be called from any thread; a line is with the system when it returns.

    The bytes go to the system at once, so a killed process loses no line; only a machine that stops may. One
    process appends to a file at a time. What an earlier process left of its last line is cut away first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._end = self._whole_bytes()

    def _whole_bytes(self) -> int:
        """Where the last whole line ends; what is behind it is cut away."""
        return cut_torn_line(self._fd)

    def append(self, line: bytes) -> int:
        """Append one line, its newline included; returns where it starts.

        Raises:
            LLMEvalError: the disk is full or the file is gone; the lines before stay whole.
        """
        with self._lock, explained(self.path):
            start = self._end
            try:
                self._write(line)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, start)
                raise
            self._end = start + len(line)
            return start

    def _write(self, line: bytes) -> None:
        left, position = memoryview(line), self._end
        while left:
            written = os.pwrite(self._fd, left, position)
            left, position = left[written:], position + written

    def read_at(self, start: int) -> bytes:
        """The line that starts at `start`."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.readline()

    def close(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def cut_torn_line(fd: int) -> int:
    """Shorten a file to its last newline; returns its length then."""
    end = os.fstat(fd).st_size
    while end:
        start = max(0, end - TAIL_BYTES)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    os.ftruncate(fd, end)
    return end


def whole_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of every line that has its newline; a last one without it was cut short."""
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return
        yield number, line


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what the system says about writing to `path` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise LLMEvalError(
            f"{path} cannot be written: {error.strerror or error}. Records written before are kept; free "
            f"space or choose another folder with --llmeval-reports"
        ) from error
