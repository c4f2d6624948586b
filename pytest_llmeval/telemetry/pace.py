"""How often something may be read that costs CPU time: as often as it is looked at, if it is cheap enough."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_S = 10.0  # that one reading sets the next one back: the first of a kind may take unusually long


@dataclass(frozen=True)
class ReadingCost:
    """What reading one figure cost: how often it was read, at how many times a second, CPU seconds for one time."""

    times: int
    per_s: float
    cpu_s: float


class Pace:
    """Keeps what is paid for in CPU time within a share of one core, by being due more rarely.

    A reading that took `cpu_s` is followed by a pause of `cpu_s / share`, so that on average the share is kept
    whatever a reading costs. `credit_s` are seconds of such pauses that may be owed: short bursts go through.
    """

    def __init__(self, share: float, credit_s: float = 0.0) -> None:
        self._share = share
        self._credit_s = credit_s
        self._paid_until = float("-inf")
        self.times = 0
        self.cpu_s = 0.0

    @property
    def due_at(self) -> float:
        """The moment from which it may be read again."""
        return self._paid_until - self._credit_s

    def due(self, at_s: float) -> bool:
        return at_s >= self.due_at

    def spent(self, at_s: float, cpu_s: float) -> None:
        """It was read at `at_s`, due or not."""
        self.times += 1
        self.cpu_s += cpu_s
        self._paid_until = max(self._paid_until, at_s) + min(cpu_s / self._share, LONGEST_S)


def cost_of(paces: list[Pace], seconds: float) -> ReadingCost:
    """What the same figure of several devices cost over `seconds`; its rate is that of one device."""
    times, cpu_s = sum(pace.times for pace in paces), sum(pace.cpu_s for pace in paces)
    return ReadingCost(
        times, times / len(paces) / seconds if seconds else 0.0, cpu_s / times if times else 0.0
    )
