"""SIGTERM ends a session as Ctrl-C does: engines closed, what finished kept, reports written, exit code 2.

A second one, of either kind, while a session closes: what had arrived is judged no further, and the reports of what is
there are written all the same. CI services send one signal after the other before they kill.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def sigterm_is_ctrl_c() -> Iterator[None]:
    """While engines start or items run, SIGTERM raises what pytest knows how to end a session for."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def hurried(hurry: Callable[[], None]) -> Iterator[None]:
    """While a session closes, the first SIGTERM or Ctrl-C calls `hurry`; from then on they do what they did before.

    `hurry` is called between two instructions of the main thread: it must wait for nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def once(number: int, frame: FrameType | None) -> None:
        restore()
        hurry()

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, once)
    try:
        yield
    finally:
        restore()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt("terminated by SIGTERM")
