"""What is dear is read more rarely, so that sampling keeps to its share of a core whatever a driver takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pytest_llmeval.telemetry.pace import LONGEST_S, Pace, cost_of
from pytest_llmeval.telemetry.readings import DeviceReading
from pytest_llmeval.telemetry.sampler import SAMPLER_SHARE, Sampler


def share_of(pace: Pace, cost_s: float, period_s: float = 0.1, seconds: float = 100.0) -> float:
    """The share of a core that readings of such a cost take, looked at every `period_s`."""
    for step in range(round(seconds / period_s)):
        if pace.due(step * period_s):
            pace.spent(step * period_s, cost_s)
    return pace.cpu_s / seconds


def test_what_is_cheap_is_read_each_time():
    pace = Pace(0.001)
    share_of(pace, 0.00005)
    assert pace.times == 1000


@pytest.mark.parametrize("cost_s", [0.0003, 0.0024, 0.009])
def test_what_is_dear_is_read_so_rarely_that_it_keeps_to_its_share(cost_s):
    pace = Pace(0.001)
    assert share_of(pace, cost_s) <= 0.001 * 1.1
    assert pace.times >= 0.001 * 100 / cost_s * 0.7  # and no more rarely than it must


def test_one_slow_reading_does_not_end_a_figure():
    pace = Pace(0.001)
    pace.spent(0.0, 60.0)
    assert pace.due(LONGEST_S)


def test_credit_lets_a_burst_through_and_is_paid_back():
    pace = Pace(0.01, credit_s=1.0)
    for _ in range(10):
        assert pace.due(0.0)
        pace.spent(0.0, 0.001)  # each owes 0.1 s
    assert not pace.due(-0.01)
    pace.spent(0.0, 0.001)
    assert not pace.due(0.0)
    assert pace.due(0.11)


def test_costs_of_several_devices_are_told_as_one_reading():
    one, other = Pace(1.0), Pace(1.0)
    for pace, cost_s in ((one, 0.002), (other, 0.004)):
        pace.spent(0.0, cost_s)
    found = cost_of([one, other], 10.0)
    assert (found.times, found.per_s) == (2, 0.1)
    assert found.cpu_s == pytest.approx(0.003)


@dataclass
class Machine:
    """A clock that moves when somebody waits, a CPU clock that moves when something is read."""

    now: float = 0.0
    cpu: float = 0.0
    waited: list[float] = field(default_factory=list)


@pytest.mark.parametrize("cost_s", [0.0001, 0.0024, 0.05])
def test_a_sampler_keeps_below_a_hundredth_of_a_core_whatever_a_round_costs(cost_s):
    machine = Machine()

    class Device:
        def read(self, at_s: float, *, everything: bool = True) -> DeviceReading:
            machine.cpu += cost_s
            return DeviceReading(at_s, 0)

    taken: list[object] = []
    sampler = Sampler(
        [Device()], None, taken.append, rate_hz=10, clock=lambda: machine.now, cpu_clock=lambda: machine.cpu
    )

    class Stop:
        def is_set(self) -> bool:
            return machine.now >= 600

        def wait(self, seconds: float) -> None:
            machine.now += max(seconds, 0.001)

    sampler._stop = Stop()
    sampler._run()
    assert sampler.rounds.cpu_s / machine.now <= SAMPLER_SHARE * 1.05
    if cost_s < SAMPLER_SHARE / 10:
        assert len(taken) == pytest.approx(6000, rel=0.02)
