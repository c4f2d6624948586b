"""Readings → figures, by hand-computed values; which devices an engine uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmeval.telemetry.figures import PhaseTally
from pytest_llmeval.telemetry.readings import DeviceReading, HostReading, throttle_names
from pytest_llmeval.telemetry.visible import Board, chosen
from pytest_llmeval.telemetry.watch import Target, Watch

BOARDS = (
    Board(0, "GPU-aaaa-1"),
    Board(1, "GPU-bbbb-2", mig=True, instances=("MIG-one", "MIG-two")),
    Board(2, "GPU-cccc-3"),
)


def figures(*readings: DeviceReading | HostReading, seconds: float = 1.0):
    tally = PhaseTally("batch")
    for reading in readings:
        tally.add(reading)
    tally.pause(seconds)
    return tally.figures()


def test_energy_is_the_counters_difference_and_power_alone_is_integrated_by_trapezoids():
    counted = figures(
        DeviceReading(0, 0, power_w=100, energy_j=50), DeviceReading(2, 0, power_w=300, energy_j=470)
    )
    assert (counted.energy_j, counted.energy_source) == (420, "counter")
    integrated = figures(DeviceReading(0, 0, power_w=100), DeviceReading(2, 0, power_w=300))
    assert (integrated.energy_j, integrated.energy_source) == (400, "integrated power")


def test_a_counter_that_went_back_or_missed_an_end_is_not_used():
    back = figures(DeviceReading(0, 0, energy_j=90, power_w=10), DeviceReading(1, 0, energy_j=5, power_w=10))
    assert (back.energy_j, back.energy_source) == (10, "integrated power")
    no_end = figures(DeviceReading(0, 0, energy_j=1), DeviceReading(1, 0, energy_j=2), DeviceReading(2, 0))
    assert no_end.energy_j is None


def test_a_reading_without_the_counter_beside_one_with_it_changes_no_energy():
    ticks = (DeviceReading(0, 0), DeviceReading(0.001, 0, energy_j=10), DeviceReading(1, 0))
    ends = (DeviceReading(2, 0, energy_j=110), DeviceReading(2.001, 0))
    found = figures(*ticks, *ends)
    assert (found.energy_j, found.energy_source) == (100, "counter")


def test_power_known_for_half_a_phase_gives_no_energy():
    half = figures(DeviceReading(0, 0, power_w=10), DeviceReading(1, 0, power_w=10), DeviceReading(2, 0))
    assert half.energy_j is None
    assert half.power_mean_w == 10


def test_a_gap_between_two_visits_of_a_phase_counts_for_nothing():
    tally = PhaseTally("latency")
    for start in (0, 100):
        tally.add(DeviceReading(start, 0, power_w=50, energy_j=50 * start))
        tally.add(DeviceReading(start + 1, 0, power_w=50, energy_j=50 * start + 50))
        tally.pause(1)
    result = tally.figures()
    assert (result.seconds, result.energy_j) == (2, 100)


def test_one_device_that_does_not_tell_leaves_the_sum_unknown():
    phase = figures(
        DeviceReading(0, 0, memory_used_bytes=5), DeviceReading(0, 1), DeviceReading(1, 0, busy_percent=20)
    )
    assert phase.device_memory_peak_bytes is None
    assert phase.busy_percent is None
    assert phase.devices[0].memory_peak_bytes == 5


def test_host_figures_are_peaks_and_cpu_time_used_meanwhile():
    phase = figures(
        HostReading(0, 2, rss_bytes=10, cpu_s=5.0), HostReading(1, 3, rss_bytes=30, pss_bytes=20, cpu_s=6.5)
    )
    assert phase.host.rss_peak_bytes == 30
    assert phase.host.pss_peak_bytes == 20
    assert phase.host.cpu_s == 1.5
    assert phase.host.processes == 3


def test_nothing_read_is_none_and_not_zero():
    phase = figures()
    assert phase.energy_j is None
    assert phase.busy_percent is None
    assert phase.device_memory_peak_bytes is None
    assert phase.host.rss_peak_bytes is None


def test_throttle_reasons_have_names_and_idling_is_none():
    assert throttle_names(0x1) == ()
    assert throttle_names(0x4 | 0x40 | 0x1) == ("power cap", "thermal, by hardware")
    assert throttle_names(0x8000) == ("reason 0x8000",)


@pytest.mark.parametrize(
    ("setting", "count", "expected"),
    [
        (None, 1, [(0, None)]),
        (None, 3, [(0, None), (1, "MIG-one"), (2, None)]),
        ("2", 1, [(2, None)]),
        ("2,0", 2, [(2, None), (0, None)]),
        ("2,0", 1, [(2, None)]),
        ("GPU-cccc", 1, [(2, None)]),
        ("MIG-two", 1, [(1, "MIG-two")]),
        ("1", 1, [(1, "MIG-one")]),
        ("0,7,2", 3, [(0, None)]),  # what follows an entry that names nothing is hidden
        ("-1", 1, []),
        ("", 1, []),
        ("NoDevFiles", 1, []),
    ],
)
def test_devices_are_chosen_as_cuda_reads_its_variable(setting, count, expected):
    found = chosen(setting, BOARDS, count)
    assert [(device.board.index, device.instance) for device in found] == expected


def test_a_full_disk_costs_the_readings_and_not_the_run():
    watch = Watch(Target("m", None, None), Path("/dev/full"))
    assert watch.close().why["file"] == "readings are missing in /dev/full: No space left on device"
