"""The description that a package index shows: README.md, whose relative links and pictures lead nowhere there.

hatchling calls this while it builds. Where `[project.urls]` names the `Repository`, links lead into it; as long as it
names none they become their words.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = r"(?!https?:|mailto:|#)(?P<to>[^)\s\"]+)"
PICTURE = re.compile(rf"!\[(?P<alt>[^\]]*)\]\({RELATIVE}\)")
LINK = re.compile(rf"(?<!!)\[(?P<words>[^\]]*)\]\({RELATIVE}\)")
IMG = re.compile(rf'<img src="{RELATIVE}"(?P<rest>[^>]*?alt="(?P<alt>[^"]*)"[^>]*)>')


class IndexDescription(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": described(text, repository)}


def described(text: str, repository: str | None) -> str:
    """The same without relative links and pictures."""
    if repository is None:
        without = PICTURE.sub(r"*Picture: \g<alt>.*", IMG.sub(r"*Picture: \g<alt>.*", text))
        return LINK.sub(r"\g<words>", without)
    home = repository.rstrip("/")
    pictures = PICTURE.sub(
        rf"![\g<alt>]({home}/raw/HEAD/\g<to>)", IMG.sub(rf'<img src="{home}/raw/HEAD/\g<to>"\g<rest>>', text)
    )
    return LINK.sub(rf"[\g<words>]({home}/blob/HEAD/\g<to>)", pictures)
