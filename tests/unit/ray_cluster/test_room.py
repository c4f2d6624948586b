"""How much of a cluster an engine gets, by its entry."""

from __future__ import annotations

from typing import Any

from pytest_llmeval.ray_cluster.nodes import Node
from pytest_llmeval.ray_cluster.room import Room, cores_kept_free, room_for
from pytest_llmeval.schema import ModelSpec, Needs

CPUS = [Node("1", "10.0.0.1", 8.0, 0.0, None)]
GPUS = [*CPUS, Node("2", "10.0.0.2", 64.0, 4.0, None)]


def spec(threads: str | None = None, kind: str = "vllm", **engine: Any) -> ModelSpec:
    environment = {"OMP_NUM_THREADS": threads} if threads else {}
    return ModelSpec("m", "org/m", kind, engine=engine, environment=environment)


def test_an_engine_gets_the_gpus_of_its_parallel_sizes_on_one_node():
    room = room_for(spec(tensor_parallel_size=2, pipeline_parallel_size=2), GPUS)
    assert room == Room(1, 4)
    assert room.bundle == {"CPU": 1.0, "GPU": 4.0}
    assert [room.fits(node) for node in GPUS] == [False, True]
    assert str(room) == "1 core and 4 GPU(s)"


def test_an_engine_larger_than_any_node_is_spread_by_vllm_and_only_then():
    assert room_for(spec(tensor_parallel_size=8), GPUS) == Room(
        1, engine={"distributed_executor_backend": "ray"}
    )
    assert room_for(spec(tensor_parallel_size=4), GPUS).engine == {}


def test_an_engine_without_gpus_gets_the_cores_that_its_entry_names():
    assert room_for(spec(), CPUS) == Room(1)
    assert room_for(spec("4", tensor_parallel_size=2), CPUS) == Room(8)
    assert room_for(spec("auto"), CPUS) == Room(1)
    assert room_for(spec(device="cpu"), GPUS) == Room(1)


def test_scoring_leaves_cores_to_the_largest_engine_and_to_one_that_imports_meanwhile():
    asked = [spec("4"), spec("2"), spec(), spec(kind="replay")]
    assert cores_kept_free([]) == 0
    assert cores_kept_free(asked[3:]) == 0
    assert cores_kept_free(asked) == 1 + 1, "an engine that needs a GPU needs one core beside it"
    anywhere = [
        ModelSpec(s.name, s.model, s.kind, environment=s.environment, needs=Needs("any")) for s in asked
    ]
    assert cores_kept_free(anywhere) == 4 + 2
