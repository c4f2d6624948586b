"""How many requests were under way at a time: the most there were while one of them was."""

from __future__ import annotations

import threading
from bisect import bisect_left


class UnderWay:
    """Counts requests, for several threads; each question takes a few steps, however many there are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._moment = 0
        # Counts that no later one has reached, the largest first, and the moments they were reached at.
        self._counts: list[int] = []
        self._moments: list[int] = []

    def begins(self) -> int:
        """One more is under way; gives the moment at which it began."""
        with self._lock:
            self._count += 1
            self._moment += 1
            while self._counts and self._counts[-1] <= self._count:
                self._counts.pop()
                self._moments.pop()
            self._counts.append(self._count)
            self._moments.append(self._moment)
            return self._moment

    def most_since(self, begun: int) -> int:
        """The most at a time since the moment `begun`, whoever began then included."""
        with self._lock:
            return self._counts[bisect_left(self._moments, begun)]

    def ends(self) -> None:
        with self._lock:
            self._count -= 1
