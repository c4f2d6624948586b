"""Blocks of code in the documentation: where they stand, in which language, and what is said about running them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).parents[2]
PAGES = (
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
)
# A comment right before a block: <!-- collected: why --> or <!-- not run: why -->.
NOTE = re.compile(r"<!-- (?P<what>collected|not run): (?P<why>.+?) -->")
FILE = re.compile(r"# (?P<name>[\w.][\w./-]*\.(?:py|sh|yml))(?::.*)?")


@dataclass(frozen=True)
class Block:
    """`exempt` is why a block is not run; `collected` why its commands are only parsed and their items collected."""

    page: Path
    line: int
    language: str
    text: str
    collected: str = ""
    exempt: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that a block says it is, in its first line (a script's second)."""
        lines = [line for line in self.text.splitlines()[:2] if not line.startswith("#!")]
        match = FILE.fullmatch(lines[0]) if lines else None
        return match["name"] if match else None


def blocks(page: Path) -> Iterator[Block]:
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type != "fence" or token.map is None:
            continue
        comment = before.content if before is not None and before.type == "html_block" else ""
        note = NOTE.match(comment)
        notes = {"collected": "", "not run": ""} | ({note["what"]: note["why"]} if note else {})
        yield Block(page, token.map[0] + 1, token.info, token.content, notes["collected"], notes["not run"])


def spans(page: Path) -> Iterator[str]:
    """`code` within sentences and tables."""
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        yield from (child.content for child in token.children or () if child.type == "code_inline")
