"""Cheaper forks: children take over the page tables of the interpreter's code instead of faulting them in."""

from __future__ import annotations

LARGE = 256 << 10


def inherit_code() -> None:
    """Put one page of our own into each large mapping of code and constants.

    On fork the kernel copies the page table of a file's mapping only where the mapping holds such a page;
    otherwise every child takes a fault for each 64 KiB of the interpreter that it touches. The byte that is
    written is the one that was there. Where the kernel does not allow it, nothing is lost but time.
    """
    try:
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "r+b", buffering=0) as memory:
            for start in _large_mappings(maps.read()):
                memory.seek(start)
                byte = memory.read(1)
                memory.seek(start)
                memory.write(byte)
    except OSError:
        return


def _large_mappings(maps: str) -> list[int]:
    """Where private mappings of files begin that nobody writes to."""
    starts = []
    for line in maps.splitlines():
        span, rights, _, _, inode, *_ = line.split()
        start, end = (int(address, 16) for address in span.split("-"))
        if inode != "0" and rights in ("r-xp", "r--p") and end - start >= LARGE:
            starts.append(start)
    return starts
