"""Which devices an engine uses: CUDA_VISIBLE_DEVICES by index, UUID and MIG instance, as CUDA reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Board:
    """One NVIDIA device as NVML lists it; `instances` are the UUIDs of its MIG instances, where MIG is on."""

    index: int
    uuid: str
    mig: bool = False
    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """A device an engine uses: a whole board, or one MIG instance of it."""

    board: Board
    instance: str | None = None


def chosen(setting: str | None, boards: Sequence[Board], count: int = 1) -> tuple[Chosen, ...]:
    """The first `count` devices that CUDA_VISIBLE_DEVICES (None: not set) leaves to a process.

    An entry that names nothing hides all that follow it, and an empty setting hides everything (CUDA C++
    Programming Guide, environment variables). Of a board with MIG on, CUDA uses one instance: the first.
    Indices are taken in PCI order, which is NVML's, and CUDA's with CUDA_DEVICE_ORDER=PCI_BUS_ID or with equal
    boards.
    """
    entries = None if setting is None else [entry.strip() for entry in setting.split(",")]
    found = _all(boards) if entries is None else _named(entries, boards)
    return tuple(device for _, device in zip(range(count), found, strict=False))


def _all(boards: Sequence[Board]) -> Iterator[Chosen]:
    return (device for board in boards if (device := _whole(board)))


def _named(entries: list[str], boards: Sequence[Board]) -> Iterator[Chosen]:
    for entry in entries:
        device = _find(entry, boards)
        if device is None:
            return
        yield device


def _find(entry: str, boards: Sequence[Board]) -> Chosen | None:
    if entry.isdigit():
        return next((_whole(board) for board in boards if board.index == int(entry)), None)
    for board in boards:
        for instance in board.instances:
            if entry.startswith("MIG-") and instance.startswith(entry):
                return Chosen(board, instance)
        if entry.startswith("GPU-") and board.uuid.startswith(entry):
            return _whole(board)
    return None


def _whole(board: Board) -> Chosen | None:
    if not board.mig:
        return Chosen(board)
    return Chosen(board, board.instances[0]) if board.instances else None
