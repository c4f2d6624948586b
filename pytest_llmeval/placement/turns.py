"""Who computes and who is measured, where models share cores: nobody computes beside a measurement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WAIT_S = 0.25


class Turns:
    """Where models have cores or devices of their own (`shares_cores` is false), nobody waits for anybody.

    `changed` guards what is in here, and is told of every change; `tell` shows what a model waits for, and may raise
    to end the waiting.
    """

    def __init__(
        self, shares_cores: bool, changed: threading.Condition, tell: Callable[[str, str], None]
    ) -> None:
        self._shares_cores = shares_cores
        self._changed = changed
        self._tell = tell
        self._busy: set[str] = set()  # models that compute
        self._alone: str | None = None  # the model that is measured, while nobody else computes
        self._wanting_alone = 0

    @contextmanager
    def computing(self, model: str) -> Iterator[None]:
        """Begins when nobody is measured, or waits to be."""
        with self._changed:
            while self._shares_cores and (self._alone or self._wanting_alone):
                self._tell(f"{model}: waiting", "another model is measured")
                self._changed.wait(WAIT_S)
            self._busy.add(model)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(model)
                self._changed.notify_all()

    def be_alone(self, model: str) -> None:
        """Wait until no other model computes or is measured; holds until it leaves."""
        if not self._shares_cores:
            return
        with self._changed:
            self._wanting_alone += 1
            try:
                while self._alone != model and (self._alone or self._busy - {model}):
                    self._tell(f"{model}: waiting to measure", "others still compute")
                    self._changed.wait(WAIT_S)
                self._alone = model
            finally:
                self._wanting_alone -= 1

    def leave(self, model: str) -> None:
        """The model has ended; to be called with `changed` held, and told by the caller."""
        if self._alone == model:
            self._alone = None
