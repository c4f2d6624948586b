"""What tests of several folders share. Having a conftest here puts this folder on the import path."""

from __future__ import annotations

import os
import signal

import pytest
import scripted_server


def pytest_configure():
    """A shell's background job ignores Ctrl-C and hands that on; the sessions that tests interrupt must not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        del os.environ[name]  # the sessions that tests start are no workers of the one that runs these tests


@pytest.fixture
def server():
    """A server on loopback that behaves as it is told."""
    with scripted_server.running() as one:
        yield one
