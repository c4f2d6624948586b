"""Why a model cannot run here, in a few words."""

from __future__ import annotations

import pytest

from pytest_llmeval.devices import GIB, Device, is_cached, why_unavailable
from pytest_llmeval.schema import ModelSpec, Needs

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
