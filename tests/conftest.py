"""What tests of several folders share. Having a conftest here puts this folder on the import path."""

from __future__ import annotations

import pytest
import scripted_server


@pytest.fixture
def server():
    """A server on loopback that behaves as it is told."""
    with scripted_server.running() as one:
        yield one
