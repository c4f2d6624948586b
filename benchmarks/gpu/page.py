"""What a benchmark says: Markdown on the terminal as it comes into being, and everything again in files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class Page:
    """Lines and tables; `left_s` is what remains of the time that the whole may take."""

    def __init__(self, budget_s: float = float("inf"), out: Path | None = None) -> None:
        self.lines: list[str] = []
        self.data: dict[str, Any] = {}
        self.out = out
        self._until = time.monotonic() + budget_s

    @property
    def left_s(self) -> float:
        return self._until - time.monotonic()

    def say(self, line: str = "") -> None:
        self.lines.append(line)
        print(line, flush=True)

    def table(self, name: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table, row by row as they come."""
        self.say()
        self.say("| " + " | ".join(headings) + " |")
        self.say("|" + " --- |" * len(headings))
        kept = self.data.setdefault(name, [])
        for row in rows:
            kept.append(dict(zip(headings, row, strict=True)))
            self.say("| " + " | ".join(row) + " |")
        self.say()

    def adopt(self, folder: Path) -> None:
        """Take over what another process saved there; it has said it already."""
        self.lines += (folder / "gpu.md").read_text().splitlines()
        self.data |= json.loads((folder / "gpu.json").read_text())

    def save(self) -> None:
        """Write down what was said so far; to be called after each part, because the next may not come to its end."""
        if self.out is None:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "gpu.md").write_text("\n".join(self.lines) + "\n")
        (self.out / "gpu.json").write_text(json.dumps(self.data, indent=1, default=str) + "\n")


def shown(value: float | None, unit: str = "", digits: int = 1) -> str:
    return "not available" if value is None else f"{value:,.{digits}f} {unit}".strip()
