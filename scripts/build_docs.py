"""Builds the documentation as a site, in build/docs/site; every internal link and anchor must lead somewhere.

The pages are docs/*.md and the Markdown files at the top of the repository, which are written to be read there:
their links are made to fit. What zensical does not look at is checked here: links to files that are no pages, and
that the navigation is whole.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
BUILD = REPOSITORY / "build" / "docs"
# Files at the top that are pages, too.
TOP = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
ASSETS = ("images", "schemas")
LINK = re.compile(r"(?P<text>!?\[[^\]\n]*\])\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"^(```+).*?^\1$", re.DOTALL | re.MULTILINE)
LIST_WITHOUT_SPACE = re.compile(r"^(?![-*|>#]|\d+\.|\s|$).*\n(?=[-*] \S)", re.MULTILINE)


def main() -> int:
    shutil.rmtree(BUILD, ignore_errors=True)
    pages = BUILD / "pages"
    pages.mkdir(parents=True)
    mistakes = list(gather(pages))
    shutil.copy(DOCS / "zensical.toml", BUILD)
    mistakes += gaps_of_navigation(pages)
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=BUILD,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )
    if mistakes or built.returncode:
        return 1
    print(f"docs: {BUILD.relative_to(REPOSITORY) / 'site' / 'index.html'}")
    return 0


def gather(pages: Path) -> Iterator[str]:
    """Copy every page and what it shows; yields what is wrong with them."""
    for name in ASSETS:
        shutil.copytree(DOCS / name, pages / name)
    sources = {path: path.name for path in sorted(DOCS.glob("*.md"))}
    sources |= {REPOSITORY / name: page for name, page in TOP.items()}
    for source, page in sources.items():
        text = source.read_text(encoding="utf-8")
        prose = FENCE.sub("", text)
        for match in LIST_WITHOUT_SPACE.finditer(prose):
            yield f"{source.name}: an empty line is missing before the list after {match[0].strip()[-60:]!r}"
        fitted = Fitted(source)
        (pages / page).write_text(fitted.text(text), encoding="utf-8")
        yield from fitted.mistakes


class Fitted:
    """A page's text with links that hold in the site."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.mistakes: list[str] = []

    def text(self, text: str) -> str:
        """Links in code are not touched."""
        parts, start = [], 0
        for fence in FENCE.finditer(text):
            parts += [LINK.sub(self._link, text[start : fence.start()]), fence[0]]
            start = fence.end()
        return "".join([*parts, LINK.sub(self._link, text[start:])])

    def _link(self, match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        file = (self.source.parent / target).resolve()
        if not file.exists():
            self.mistakes.append(f"{self.source.name}: {match[0]} leads nowhere")
            return match[0]
        place = place_in_site(file)
        if place is None:  # a file of the checkout, which the site does not hold
            return f"{match['text'].strip('![]')} (`{file.relative_to(REPOSITORY)}`)"
        return f"{match['text']}({place}{'#' if anchor else ''}{anchor})"


def place_in_site(file: Path) -> str | None:
    """Where the site holds a file of the checkout; a folder is named, not linked: the site lists none."""
    if file.parent == REPOSITORY and file.name in TOP:
        return TOP[file.name]
    if file.is_file() and DOCS in file.parents:
        return file.relative_to(DOCS).as_posix()
    return None


def gaps_of_navigation(pages: Path) -> Iterator[str]:
    nav = tomllib.loads((DOCS / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    named = list(leaves(nav))
    existing = {path.name for path in pages.glob("*.md")}
    yield from (
        f"zensical.toml: nav names {name}, which does not exist" for name in named if name not in existing
    )
    yield from (f"zensical.toml: nav lacks {name}" for name in sorted(existing - set(named)))
    yield from (f"zensical.toml: nav names {name} twice" for name in set(named) if named.count(name) > 1)


def leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav if isinstance(nav, list) else nav.values():
            yield from leaves(entry)


if __name__ == "__main__":
    raise SystemExit(main())
