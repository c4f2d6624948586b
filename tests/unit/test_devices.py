"""Why a model cannot run here, in a few words."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pytest_llmeval.devices import Device, hub_home, is_cached, is_offline, why_unavailable
from pytest_llmeval.schema import ModelSpec, Needs
from pytest_llmeval.units import GIB

H200 = Device(0, "NVIDIA H200", 139 * GIB)
T4 = Device(0, "Tesla T4", 15 * GIB)


def spec(model: str = "org/model", engine: dict | None = None, **needs) -> ModelSpec:
    return ModelSpec("m", model, engine=engine or {}, needs=Needs(**needs))


def test_no_gpu():
    assert why_unavailable(spec(device_memory_gib=24), ()) == "needs an NVIDIA GPU with 24 GiB; none found"


def test_too_small_a_gpu():
    reason = why_unavailable(spec(device_memory_gib=24), (T4,))
    assert reason == "needs an NVIDIA GPU with 24 GiB; found 1 × Tesla T4, 15 GiB at most"


def test_memory_is_shared_by_the_gpus_of_a_tensor_parallel_engine():
    needs = {"device_memory_gib": 24, "hub": False}
    two = spec(engine={"tensor_parallel_size": 2}, **needs)
    assert why_unavailable(two, (T4, Device(1, "Tesla T4", 15 * GIB))) is None
    assert "2 NVIDIA GPUs" in why_unavailable(two, (T4,))


def test_a_gated_model_without_a_token_says_what_to_do():
    gated = spec(gated=True)
    reason = why_unavailable(gated, (H200,), {"HF_HOME": "/nowhere"})
    assert reason == "org/model is gated: accept its terms on its hub page and set HF_TOKEN"
    assert why_unavailable(gated, (H200,), {"HF_HOME": "/nowhere", "HF_TOKEN": "x"}) is None


def test_offline_needs_the_cache(tmp_path):
    environ = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    assert "not in the local cache" in why_unavailable(spec(), (H200,), environ)
    (tmp_path / "hub/models--org--model/snapshots/abc").mkdir(parents=True)
    assert is_cached("org/model", environ)
    assert why_unavailable(spec(), (H200,), environ) is None


def test_a_model_that_a_server_holds_needs_nothing_here():
    served = ModelSpec("m", "/weights/there", kind="openai", needs=Needs(device_memory_gib=80, gated=True))
    assert why_unavailable(served, (), {"HF_HUB_OFFLINE": "1"}) is None


@pytest.mark.parametrize("exists", [True, False])
def test_local_weights_must_be_there(tmp_path, exists):
    path = tmp_path if exists else tmp_path / "gone"
    reason = why_unavailable(spec(str(path), device="any", hub=False), ())
    assert (reason is None) == exists


def test_every_replica_of_an_engine_needs_a_gpu_of_its_own():
    twice = spec(engine={"data_parallel_size": 2}, device_memory_gib=10, hub=False)
    assert "2 NVIDIA GPUs" in why_unavailable(twice, (T4,))
    assert why_unavailable(twice, (T4, Device(1, "Tesla T4", 15 * GIB))) is None
    large = spec(engine={"data_parallel_size": 2}, device_memory_gib=20, hub=False)
    assert "2 NVIDIA GPUs" in why_unavailable(large, (T4, Device(1, "Tesla T4", 15 * GIB)))


@pytest.mark.parametrize("size", ["two", 0, -1, 1.5, None, [2]])
def test_a_size_that_is_none_is_left_for_the_engine_to_refuse(size):
    assert why_unavailable(spec(engine={"tensor_parallel_size": size}, hub=False), (T4,)) is None


WHERE = [
    {},
    {"XDG_CACHE_HOME": "/elsewhere"},
    {"HF_HOME": "~/hub"},
    {"HF_HOME": "$SOMEWHERE/hub", "XDG_CACHE_HOME": "/elsewhere"},
    {"HF_HUB_CACHE": "~/cache", "HF_HOME": "/other"},
    {"HUGGINGFACE_HUB_CACHE": "/legacy"},
    {"HF_HUB_OFFLINE": "1"},
    {"TRANSFORMERS_OFFLINE": "yes"},
    {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"},
]
HUBS_OWN = """
import importlib, json, os, sys
from huggingface_hub import constants
found = []
for variables in json.loads(sys.argv[1]):
    os.environ.update(variables)
    importlib.reload(constants)
    found.append([constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE])
    for name in variables:
        del os.environ[name]
print(json.dumps(found))
"""


def test_the_hubs_cache_is_where_its_own_library_looks(monkeypatch):
    pytest.importorskip("huggingface_hub", reason="needs the library that is asked")
    monkeypatch.setenv("SOMEWHERE", "/somewhere")
    named = {name for variables in WHERE for name in variables}
    environ = {name: value for name, value in os.environ.items() if name not in named}
    command = [sys.executable, "-c", HUBS_OWN, json.dumps(WHERE)]
    asked = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=120)
    ours = [[str(hub_home(variables)), is_offline(variables)] for variables in WHERE]
    assert ours == json.loads(asked.stdout)
