"""Which devices an engine will use and who is on them: the real pynvml against the test double of NVML."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from pytest_llmeval.devices.occupancy import cards_of
from pytest_llmeval.schema import ModelSpec
cards = cards_of(ModelSpec("m", "w", engine=json.loads(sys.argv[1])))
print(json.dumps([[card.uuid, card.name, *card.memory(), sorted(card.processes())] for card in cards]))
"""


OFFERED = """
import json
from pytest_llmeval import devices
found = [[gpu.index, gpu.memory_bytes >> 30] for gpu in devices.gpus()]
print(json.dumps([found, devices.driver_version()]))
"""


@pytest.fixture
def told(fake_library):
    """What a program prints where the test double is the driver."""

    def run(program: str, *arguments: str, **environment: str) -> list:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "LD_LIBRARY_PATH": str(fake_library), "FAKE_PID": "77", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return json.loads(done.stdout)

    return run


@pytest.fixture
def cards(told):
    return lambda engine, **environment: told(PROGRAM, json.dumps(engine), **environment)


@pytest.mark.parametrize(
    ("environment", "offered"),
    [
        ({}, [[0, 80], [1, 80], [2, 80]]),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, [[2, 80], [0, 80]]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-fake-1"}, [[1, 80]]),
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, [[1, 80]]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "MIG-fake-0-1", "FAKE_MIG": "1"}, [[0, 10]]),
        ({"FAKE_FAIL": "nvmlDeviceGetCount_v2:4"}, []),
    ],
    ids=str,
)
def test_the_machine_offers_what_cuda_would_see(told, environment, offered):
    assert told(OFFERED, FAKE_DEVICES="3", **environment) == [offered, "0.0 (test double)"]


def test_a_machine_without_a_driver_offers_nothing(told):
    assert told(OFFERED, FAKE_INIT="9") == [[], None]


def test_the_devices_of_a_tensor_parallel_engine(cards):
    found = cards({"tensor_parallel_size": 2}, FAKE_DEVICES="3", CUDA_VISIBLE_DEVICES="2,0,1")
    assert [card[0] for card in found] == ["GPU-fake-2", "GPU-fake-0"]
    assert found[0][1] == "FAKE GPU (test double)"
    assert found[0][3] > found[0][2] > 0
    assert found[0][4] == [77]


def test_a_mig_instance_is_a_device_by_itself(cards):
    found = cards({}, FAKE_MIG="1", CUDA_VISIBLE_DEVICES="MIG-fake-0-1")
    assert [card[0] for card in found] == ["MIG-fake-0-1"]


def test_no_devices_without_a_driver_or_on_the_cpu(cards):
    assert cards({}, FAKE_INIT="9") == []
    assert cards({"device": "cpu"}) == []


def test_a_device_that_is_lost_while_it_is_looked_at_is_none(cards):
    assert cards({}, FAKE_FAIL="nvmlDeviceGetHandleByUUID:15") == []
