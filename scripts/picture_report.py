"""Takes the documentation's pictures of a run's page with headless Chromium: scripts/picture_report.py RUN FOLDER"""

from __future__ import annotations

import base64
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
import chromium

DESKTOP, PHONE = 1240, 390


@dataclass(frozen=True)
class Picture:
    """A part of the page as somebody sees it; `script` goes to that part."""

    name: str
    width: int
    scheme: str = "light"
    height: int = 900
    script: str = ""


ITEM = "document.querySelector('table.grid td.fail a').click()"
PICTURES = (
    Picture("report", DESKTOP),
    Picture("report-dark", DESKTOP, "dark"),
    Picture("report-narrow", PHONE, height=1000),
    Picture("report-narrow-dark", PHONE, "dark", height=1000),
    Picture("item", DESKTOP, height=760, script=ITEM),
)


def take(page: Path, folder: Path) -> None:
    """All pictures of one page."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium.tab(Path(profile)) as tab,
    ):
        for picture in PICTURES:
            (folder / f"{picture.name}.png").write_bytes(_taken(tab, page, picture))


def _taken(tab: chromium.Tab, page: Path, picture: Picture) -> bytes:
    size = {"width": picture.width, "height": picture.height, "deviceScaleFactor": 1, "mobile": False}
    tab.call("Emulation.setDeviceMetricsOverride", **size)
    scheme = {"name": "prefers-color-scheme", "value": picture.scheme}
    tab.call("Emulation.setEmulatedMedia", features=[scheme])
    tab.open(page)
    if picture.script:
        tab.run(f"void ({picture.script})")
    tab.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return base64.b64decode(tab.call("Page.captureScreenshot")["data"])


if __name__ == "__main__":
    take(Path(sys.argv[1]) / "report.html", Path(sys.argv[2]))
