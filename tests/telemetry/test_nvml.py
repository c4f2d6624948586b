"""NVML through the real pynvml, against the test double in fake_nvml.c: plumbing, not NVIDIA's numbers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def only_device(telemetry: dict) -> dict:
    (phase,) = telemetry["phases"]
    (device,) = phase["devices"]
    return device


def test_every_figure_of_a_device_is_read_and_energy_is_the_counters(watched):
    telemetry, lines = watched()
    device = only_device(telemetry)
    assert telemetry["devices"][0]["name"] == "FAKE GPU (test double)"
    assert telemetry["devices"][0]["bandwidth_bytes_s"] == 2 * 2619e6 * 5120 / 8
    assert device["memory_peak_bytes"] == 60 << 30
    assert device["group_memory_peak_bytes"] == 55 << 30
    assert (device["busy_percent"], device["memory_busy_percent"]) == (57, 31)
    assert (device["power_mean_w"], device["temperature_peak_c"]) == (300, 61)
    assert (device["sm_clock_mean_mhz"], device["memory_clock_mean_mhz"]) == (1980, 2619)
    assert device["throttled"] == {"power cap": 1.0}  # idling is no throttling
    assert device["energy_source"] == "counter"
    phase = next(line for line in lines if line["type"] == "phase")
    seconds = phase["to_s"] - phase["from_s"]
    assert device["energy_j"] == pytest.approx(300 * seconds, rel=0.4)  # the machine may be busy
    readings = [line for line in lines if line["type"] == "device"]
    assert device["readings"] <= len(readings)
    assert all(line["power_w"] == 300 for line in readings)


@pytest.mark.parametrize("setting", ["1", "GPU-fake-1", "GPU-fake-1,GPU-fake-0"])
def test_the_device_that_cuda_visible_devices_names_is_the_one_watched(watched, setting):
    telemetry, _ = watched(FAKE_DEVICES="2", CUDA_VISIBLE_DEVICES=setting)
    assert telemetry["devices"][0]["index"] == 1
    assert only_device(telemetry)["power_mean_w"] == 400


def test_an_engine_on_two_devices_has_the_energy_of_both(watched):
    telemetry, _ = watched(count=2, FAKE_DEVICES="3")
    (phase,) = telemetry["phases"]
    assert [device["device"] for device in phase["devices"]] == [0, 1]
    assert [device["power_mean_w"] for device in phase["devices"]] == [300, 400]


def test_queries_that_failed_are_those_of_all_devices(watched):
    lost = 15  # may come back, so it is asked again each time
    telemetry, lines = watched(count=2, FAKE_DEVICES="2", FAKE_FAIL=f"nvmlDeviceGetPowerUsage:{lost}")
    asked = sum(line["type"] == "device" for line in lines)
    assert telemetry["errors"] == {"power_w": asked}
    assert telemetry["why"]["errors"].startswith(f"{asked} queries failed")


def test_a_mig_instance_has_its_own_memory_the_boards_power_and_no_utilisation(watched):
    telemetry, _ = watched(FAKE_MIG="1", FAKE_DEVICES="2", CUDA_VISIBLE_DEVICES="MIG-fake-1-1")
    assert telemetry["devices"][0]["uuid"] == "MIG-fake-1-1"
    device = only_device(telemetry)
    assert device["memory_peak_bytes"] == 7 << 30
    assert device["power_mean_w"] == 400
    assert device["busy_percent"] is None
    assert telemetry["why"]["busy_percent"] == "Not Supported"


def test_without_an_energy_counter_power_is_integrated_and_it_is_said_so(watched):
    telemetry, lines = watched(FAKE_FAIL="nvmlDeviceGetTotalEnergyConsumption:3")
    device = only_device(telemetry)
    phase = next(line for line in lines if line["type"] == "phase")
    assert device["energy_source"] == "integrated power"
    assert device["energy_j"] == pytest.approx(300 * (phase["to_s"] - phase["from_s"]), rel=0.4)
    assert telemetry["why"]["energy_j"] == "Not Supported"


def test_a_query_that_takes_long_is_asked_rarely_and_energy_still_spans_the_phase(watched):
    """An H100's counter took 2.4 ms; this one takes ten, and the sampler is asked for 50 readings a second."""
    telemetry, lines = watched(seconds=1.0, FAKE_SLOW="nvmlDeviceGetTotalEnergyConsumption:10000")
    costs = telemetry["reading_costs"]
    assert costs["energy_j"]["cpu_s"] > 0.009
    assert costs["energy_j"]["times"] <= 4  # the first, and at the ends of the phase
    assert costs["power_w"]["times"] > costs["energy_j"]["times"]
    assert costs["a round"]["times"] + costs["the end of a phase"]["times"] >= costs["host"]["times"] > 0
    device = only_device(telemetry)
    phase = next(line for line in lines if line["type"] == "phase")
    assert device["energy_source"] == "counter"
    assert device["energy_j"] == pytest.approx(300 * (phase["to_s"] - phase["from_s"]), rel=0.4)


def test_a_figure_that_is_not_permitted_is_not_available_and_never_zero(watched):
    telemetry, lines = watched(FAKE_FAIL="nvmlDeviceGetPowerUsage:4")
    assert only_device(telemetry)["power_mean_w"] is None
    assert telemetry["why"]["power_w"] == "Insufficient Permissions"
    assert not any("power_w" in line for line in lines)


def test_a_device_lost_in_the_middle_costs_its_readings_and_nothing_else(watched):
    telemetry, lines = watched(returning="power_w", FAKE_LOST="60:120")
    device = only_device(telemetry)
    assert sum(telemetry["errors"].values()) >= 50
    assert "queries failed" in telemetry["why"]["errors"]
    there = ["power_w" in line for line in lines if line["type"] == "device"]
    assert True in there[there.index(False) :]  # it came back
    assert device["power_mean_w"] == 300  # what was lost is no zero in the mean
    assert device["energy_source"] == "counter"


def test_memory_of_other_peoples_processes_is_not_the_engines(watched):
    telemetry, _ = watched(FAKE_PID=str(os.getpid()))
    assert only_device(telemetry)["group_memory_peak_bytes"] is None
    assert "none of the device's processes" in telemetry["why"]["group_memory_bytes"]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"FAKE_INIT": "9"}, "the NVIDIA driver is not loaded"),
        ({"FAKE_INIT": "4"}, "no permission to use NVML"),
        ({"FAKE_DEVICES": "0"}, "the driver shows no device"),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, "CUDA_VISIBLE_DEVICES='-1'"),
        ({"FAKE_FAIL": "nvmlDeviceGetCount_v2:4"}, "Insufficient Permissions"),
        (
            {
                "FAKE_MIG": "1",
                "CUDA_VISIBLE_DEVICES": "MIG-fake-0-1",
                "FAKE_FAIL": "nvmlDeviceGetHandleByUUID:15",
            },
            "a device was lost",
        ),
    ],
)
def test_without_a_device_the_reason_is_told_and_the_host_is_still_watched(watched, environment, reason):
    telemetry, _ = watched(**environment)
    assert reason in telemetry["why"]["device"]
    (phase,) = telemetry["phases"]
    assert phase["devices"] == []
    assert phase["host"]["rss_peak_bytes"] > 1 << 20
    assert phase["host"]["cpu_s"] >= 0


def test_nothing_of_nvidia_is_imported_before_telemetry_starts():
    code = "import sys, pytest_llmeval.telemetry.watch; print('pynvml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
