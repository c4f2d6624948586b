"""Paths as people write them: `~` is a home folder also where no shell has seen it (`--option=~/x`, ini files)."""

from __future__ import annotations

from pathlib import Path


def path_below(folder: Path, given: str | Path) -> Path:
    """`given` relative to `folder`, with `~` and `~user` spelled out; of a user who is not there it is a name."""
    try:
        return folder / Path(given).expanduser()
    except RuntimeError:
        return folder / given
