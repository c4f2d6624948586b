"""Addresses in a report: relative, so that a run's folder can be sent and opened anywhere."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pytest_llmeval.schema import RecordId
from pytest_llmeval.store import file_name

EMBEDDED_SAMPLES = 2_000
"""With more samples the items' stories lie in files beside the page (a sample is about 4 kB)."""


@dataclass(frozen=True)
class Links:
    """From a page in the folder `beside` to what lies in the run's `folder`.

    `embedded`: the items' stories are in the page itself, which then is all one needs to send.
    """

    folder: Path
    beside: Path
    embedded: bool

    @classmethod
    def for_samples(cls, samples: int, folder: Path, beside: Path) -> Links:
        return cls(folder.resolve(), beside.resolve(), samples <= EMBEDDED_SAMPLES)

    def item(self, name: RecordId) -> str:
        """Where an item's story is."""
        return f"#{anchor(name)}" if self.embedded else self.to(item_path(self.folder, name))

    def to(self, path: Path) -> str:
        """A file's address; a name that is percent-encoded on disk is encoded once more."""
        return quote(os.path.relpath(path, self.beside).replace(os.sep, "/"))


def anchor(name: RecordId) -> str:
    """The id of an item in the page; letters and digits only, whatever the names hold."""
    return "i" + hashlib.sha256("\0".join(name).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def item_path(folder: Path, name: RecordId) -> Path:
    """An item's own page, where the stories are not embedded."""
    *above, last = map(file_name, name)
    return folder.joinpath("items", *above) / f"{last}.html"
