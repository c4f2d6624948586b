"""How long a sample that runs alone may take, where other work keeps the cores from it.

Its limit then counts the time that it had a core. One that waits for nothing but itself looks the same on
the clock, so it must also get on: whoever uses less than a hundredth of a core for a while is not held up by others.
"""

from __future__ import annotations

import time

LONGEST = 20.0  # times its limit, come what may
IDLE = 3.0  # times its limit, for one that does not get on
SHARE_OF_A_CORE = 0.01
_CPU_CLOCK_OF_PROCESS = 2


class Patience:
    """For one sample whose limit by the clock has passed."""

    def __init__(self, pid: int, started: float, wall_s: float) -> None:
        self._pid, self._started, self._wall_s = pid, started, wall_s
        self._got_on, self._used_then = started, 0.0

    def left_s(self) -> float:
        """Seconds until to ask again; nothing is left at zero and below."""
        now = time.monotonic()
        try:
            used_s = time.clock_gettime(~self._pid << 3 | _CPU_CLOCK_OF_PROCESS)
        except OSError:  # there is no such clock here
            return 0.0
        if used_s >= self._wall_s:
            return 0.0
        if used_s - self._used_then >= SHARE_OF_A_CORE * (now - self._got_on):
            self._got_on, self._used_then = now, used_s
        end = min(self._started + LONGEST * self._wall_s, self._got_on + IDLE * self._wall_s)
        return min(end - now, self._wall_s / 4)
