"""What the docs say by the code is what the code says."""

from __future__ import annotations

import write_reference


def test_every_made_page_is_current():
    stale = [path.name for path, text in write_reference.pages().items() if path.read_text() != text]
    assert not stale, "make reference"
