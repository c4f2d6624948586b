"""What a model needs, from its entry alone."""

from __future__ import annotations

import pytest

from pytest_llmeval.placement import ELSEWHERE, Place, Pool
from pytest_llmeval.placement.needs import need_of
from pytest_llmeval.schema import ModelSpec, Needs
from pytest_llmeval.units import GIB

GPUS = Pool("gpu", (Place("0", 80 * GIB),))
CORES = Pool("cores", (Place("0", 8 * GIB, (0,)), Place("1", 8 * GIB, (1,))))


def spec(kind: str = "vllm", gib: float = 0, model: str = "org/model", **engine) -> ModelSpec:
    return ModelSpec("m", model, kind, engine=engine, needs=Needs(device_memory_gib=gib))


def test_devices_are_counted_over_all_parallel_sizes():
    need = need_of(spec(tensor_parallel_size=2, pipeline_parallel_size=2, data_parallel_size=3), GPUS)
    assert need.places == 12


def test_memory_is_split_by_tensor_parallel_and_not_by_data_parallel():
    assert need_of(spec(gib=160, tensor_parallel_size=4), GPUS).memory_bytes == 40 * GIB
    assert need_of(spec(gib=160, data_parallel_size=4), GPUS).memory_bytes == 160 * GIB


def test_weights_that_lie_here_must_fit_into_what_vllm_may_take(tmp_path):
    with (tmp_path / "model.safetensors").open("wb") as weights:
        weights.truncate(30 * GIB)  # a hole: no disk is used
    (tmp_path / "pytorch_model.bin").write_bytes(b"the same in another format")
    need = need_of(spec(model=str(tmp_path), gib=10, gpu_memory_utilization=0.5), GPUS)
    assert need.memory_bytes == 60 * GIB


@pytest.mark.parametrize("kind", ["openai", "replay"])
def test_models_without_weights_here_take_no_device(kind):
    assert need_of(spec(kind), GPUS).only == {ELSEWHERE}


def test_an_engine_on_the_cpu_takes_no_gpu_but_its_core_set():
    assert need_of(spec(device="cpu"), GPUS).only == {ELSEWHERE}
    assert need_of(spec(device="cpu"), CORES).only is None


def test_devices_that_the_entry_names_are_the_only_ones():
    named = [Place("3"), Place("1"), Place("0")]
    assert need_of(spec(tensor_parallel_size=2), GPUS, pinned=named).only == {"3", "1"}
