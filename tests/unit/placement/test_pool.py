"""Which places --llmeval-devices names, and what an engine is told of its own."""

from __future__ import annotations

import os

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.placement import pool
from pytest_llmeval.placement.pool import core_pool, gpu_pool
from pytest_llmeval.telemetry.nvml import GpuFacts, NoDevices
from pytest_llmeval.units import GIB


def gpu(index: int, uuid: str = "", mig: bool = False) -> GpuFacts:
    return GpuFacts(index, "a GPU", uuid or f"GPU-{index}abc", 80 * GIB, None, None, mig)


def names(pool) -> list[str]:
    return [place.name for place in pool.places]


def visible(pool, *places: int) -> str:
    return pool.placement([pool.places[n] for n in places]).environment["CUDA_VISIBLE_DEVICES"]


def test_auto_is_every_visible_device():
    pool = gpu_pool("auto", [gpu(0), gpu(1), gpu(2)], None)
    assert names(pool) == ["0", "1", "2"]
    assert visible(pool, 2) == "2"
    assert visible(pool, 0, 1) == "0,1"
    assert pool.placement([pool.places[2]]).environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_names_are_those_of_nvidia_smi_also_under_a_users_own_setting():
    """CUDA_VISIBLE_DEVICES=2,3: device 2 is still called 2, and 0 is not to be had."""
    left = [gpu(2), gpu(3)]
    assert visible(gpu_pool("3", left, "2,3"), 0) == "3"
    with pytest.raises(ConfigurationError, match=r"no device '0'.*Visible.*: 2 \(GPU-2abc\), 3 \(GPU-3abc\)"):
        gpu_pool("0", left, "2,3")


def test_uuids_stay_uuids():
    two = [gpu(0), gpu(1)]
    assert visible(gpu_pool("auto", two, "GPU-0,GPU-1"), 1) == "GPU-1abc"
    assert names(gpu_pool("GPU-1,0", two, None)) == ["GPU-1abc", "0"]


def test_a_mig_instance_has_no_index():
    assert names(gpu_pool("auto", [gpu(0, "MIG-7", mig=True), gpu(1)], None)) == ["MIG-7", "1"]


@pytest.mark.parametrize("given", ["0,0", "0,GPU-0"])
def test_a_device_named_twice_is_refused(given):
    with pytest.raises(ConfigurationError, match="twice"):
        gpu_pool(given, [gpu(0)], None)


def test_core_sets_share_the_memory_of_the_machine():
    pool = core_pool("0,1-3", range(4), 24 * GIB)
    assert names(pool) == ["0", "1-3"]
    assert [place.memory_bytes for place in pool.places] == [12 * GIB, 12 * GIB]
    told = pool.placement([pool.places[1]]).environment
    assert told["PYTEST_LLMEVAL_CORES"] == "1,2,3"
    assert told["OMP_NUM_THREADS"] == "3"
    assert told["VLLM_CPU_OMP_THREADS_BIND"] == "1,2,3"
    assert float(told["PYTEST_LLMEVAL_MEMORY_SHARE"]) == 0.5
    assert pool.placement(pool.places).environment["VLLM_CPU_OMP_THREADS_BIND"] == "0|1,2,3"


def test_auto_without_a_gpu_is_one_engine_on_all_cores():
    pool = core_pool("auto", {0, 1, 5}, GIB)
    assert names(pool) == ["0,1,5"]
    assert not pool.shares_cores


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("0,9", "9 is not among the cores of this process"),
        ("0-99999999999999", "0-99999999999999 is not among the cores of this process"),
        ("3-1", "is not among"),
        ("GPU-7", "is no set of cores"),
        ("0-", "is no set of cores"),
        ("0-1,1", "twice"),
    ],
)
def test_cores_that_are_not_there_are_refused(given, told):
    with pytest.raises(ConfigurationError, match=told):
        core_pool(given, range(4), GIB)


def test_speeds_on_core_sets_are_said_to_be_shared_and_on_gpus_not():
    cores, gpus = core_pool("0,1", range(2), GIB), gpu_pool("auto", [gpu(0), gpu(1)], None)
    assert "not its own" in cores.conditions(cores.placement(cores.places[:1]))[0]
    assert gpus.conditions(gpus.placement(gpus.places[:1])) == ()


def test_where_processes_cannot_be_bound_to_cores_the_option_is_refused(monkeypatch):
    def none(setting):
        raise NoDevices("no driver")

    monkeypatch.setattr(pool, "listed", none)
    monkeypatch.delattr(os, "sched_getaffinity")
    with pytest.raises(ConfigurationError, match="--llmeval-devices=auto: there is no GPU here"):
        pool.pool_of("auto")
