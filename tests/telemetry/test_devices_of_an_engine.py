"""Which devices an engine will use and who is on them: the real pynvml against the test double of NVML."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from pytest_llmeval.occupancy import cards_of
from pytest_llmeval.schema import ModelSpec
cards = cards_of(ModelSpec("m", "w", engine=json.loads(sys.argv[1])))
print(json.dumps([[card.uuid, card.name, *card.memory(), sorted(card.processes())] for card in cards]))
"""


@pytest.fixture
def cards(fake_library):
    def found(engine: dict, **environment: str) -> list:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(engine)],
            env={**os.environ, "LD_LIBRARY_PATH": str(fake_library), "FAKE_PID": "77", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return json.loads(done.stdout)

    return found


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
