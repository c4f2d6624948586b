"""pytest-timeout's clock stands still while an item waits for its model.

An item's time limit is about its test. That the first item of a model waits until the model is loaded, and the last
one until it is measured and closed, says nothing about either.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest


class Patience:
    """Takes part in pytest-timeout's own hooks: knows which clock runs, and stops it for a while."""

    def __init__(self, config: pytest.Config) -> None:
        self._hook: Any = config.hook
        self._running: tuple[pytest.Item, Any] | None = None  # the item whose clock runs, and its settings

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> None:
        self._running = item, settings

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_cancel_timer(self) -> None:
        self._running = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """No clock runs inside; behind it, the one that ran before starts anew with its whole time."""
        if self._running is None:
            yield
            return
        item, settings = self._running
        self._hook.pytest_timeout_cancel_timer(item=item)
        try:
            yield
        finally:
            self._hook.pytest_timeout_set_timer(item=item, settings=settings)


PATIENCE = pytest.StashKey[Patience]()


def have_patience(config: pytest.Config) -> None:
    config.stash[PATIENCE] = Patience(config)
    config.pluginmanager.register(config.stash[PATIENCE], "llmeval_patience")


def waiting(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    """Around whatever waits for a model."""
    return config.stash[PATIENCE].waiting()
