"""Lines of JSON packed with zstd: a frame for each line, so that a crash costs the last one and any can be read alone.

Frames one behind the other are a .zst file like any other: `zstd -dc results.jsonl.zst` shows the lines.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pytest_llmeval.errors import LLMEvalError, MissingExtraError
from pytest_llmeval.store.lines import Lines, explained

SUFFIX = ".zst"
CHUNK_BYTES = 1 << 16


def zstandard() -> Any:
    """The library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError(
            "runs packed with zstd need the package zstandard: pip install 'pytest-llmeval-bench[zstd]'"
        ) from error
    return zstandard


class PackedLines(Lines):
    """Appends lines to a .zst file, each as a frame of its own."""

    def __init__(self, path: Path) -> None:
        self._zstd = zstandard()
        super().__init__(path)

    def _whole_bytes(self) -> int:
        """Where the last whole frame ends; what a crash left behind it is cut away."""
        end = 0
        for start, line, length in frames(self.path):
            end = start + length if line.endswith(b"\n") else end
        os.ftruncate(self._fd, end)
        return end

    def append(self, line: bytes) -> int:
        return super().append(self._zstd.ZstdCompressor().compress(line))

    def read_at(self, start: int) -> bytes:
        return read_frame(self.path, start)


def frames(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Where each whole frame begins, what is in it, and how long it is; one that was cut short is left out.

    Raises:
        LLMEvalError: something else than frames is in the file.
    """
    decompressor = zstandard().ZstdDecompressor()
    with _unpacking(path), path.open("rb") as file:
        start, chunk = 0, file.read(CHUNK_BYTES)
        while chunk:
            frame, parts, length = decompressor.decompressobj(), [], 0
            while chunk and not frame.eof:
                parts.append(frame.decompress(chunk))
                length += len(chunk) - len(frame.unused_data)
                chunk = frame.unused_data or file.read(CHUNK_BYTES)
            if not frame.eof:
                return
            yield start, b"".join(parts), length
            start += length


def read_frame(path: Path, start: int) -> bytes:
    """What is in the frame that begins at `start`."""
    frame, parts = zstandard().ZstdDecompressor().decompressobj(), []
    with _unpacking(path), path.open("rb") as file:
        file.seek(start)
        while not frame.eof and (chunk := file.read(CHUNK_BYTES)):
            parts.append(frame.decompress(chunk))
    return b"".join(parts)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, unpacked where it is packed; what was cut short ends where it can be read.

    Raises:
        LLMEvalError: it is called packed, and something else is in it.
    """
    if path.suffix != SUFFIX:
        with path.open("rb") as plain:
            yield plain
        return
    reader = zstandard().ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)
    with _unpacking(path), io.BufferedReader(reader) as lines:
        yield lines


@contextlib.contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    try:
        yield
    except zstandard().ZstdError as error:
        raise LLMEvalError(f"{path} cannot be unpacked: {error}. Copy it once more, or run again") from error


def pack(path: Path) -> None:
    """Replace a file by one that is packed as a whole, which is smaller than frame by frame.

    Raises:
        LLMEvalError: the disk is full; the file is kept.
    """
    target = path.with_name(path.name + SUFFIX)
    partial = path.with_name(path.name + ".partial")
    with explained(target):
        try:
            with path.open("rb") as plain, partial.open("wb") as packed:
                zstandard().ZstdCompressor().copy_stream(plain, packed)
            partial.replace(target)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    path.unlink()


def located(path: Path) -> Path:
    """The file, or the packed one that lies in its place."""
    packed = path.with_name(path.name + SUFFIX)
    return packed if not path.is_file() and packed.is_file() else path
