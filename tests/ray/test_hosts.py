"""Engine hosts on a cluster die as hosts of this process do, and nothing stays behind; drivers without a model."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from sessions import actors, survivors

from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.ray_cluster.hosts import RayLaunchers
from pytest_llmeval.schema import ModelSpec, Prompt, PromptStyle, Request, Sampling

DRIVERS = str(Path(__file__).parents[1] / "engines")


def request(text: str) -> Request:
    return Request(f"id of {text!r}", "task", Prompt(PromptStyle.COMPLETION, text), Sampling())


def nothing(stage: str, detail: str) -> None:
    """A progress that nobody watches."""


@pytest.fixture
def engine(cluster, tmp_path):
    """Makes engines with the echo driver on the cluster, and closes them."""
    made: list[HostedEngine] = []

    def make(model: str = "echo", timeout_s: float = 120.0, **arguments: object) -> HostedEngine:
        context = EngineContext(tmp_path / "engine.log", timeout_s, launchers=RayLaunchers(cluster))
        spec = ModelSpec("m", model, engine={"marker": str(tmp_path / "died once"), **arguments})
        environment = {"PYTHONPATH": DRIVERS}
        made.append(HostedEngine(spec, context, driver="drivers:EchoDriver", environment=environment))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_killed_actor_is_replaced_once_and_every_request_is_answered(engine):
    one = engine()
    grandchild = psutil.Process(one.load(nothing).facts["grandchild"])
    texts = ["a", "\ud800\x00\u202e", "x" * 200_000]
    assert [future.result(60).text for future in map(one.submit, map(request, texts))] == texts
    waiting = one.submit(request("hang"))
    (first,) = actors("HostActor", os.getpid())
    os.kill(first.pid, signal.SIGKILL)
    answer = one.submit(request("after")).result(120)
    assert answer.text == "after"
    assert not survivors([grandchild]), "the keeper of the lost host ends its group"
    assert "was started again" in one.status.notes[0]
    assert "the engine host's actor was lost" in one.status.notes[0]
    (second,) = actors("HostActor", os.getpid())
    second.kill()
    with pytest.raises(EngineFault, match="It had died before"):
        waiting.result(120)


def test_a_host_that_dies_in_its_actor_is_told_with_its_log_and_closing_ends_everything(engine):
    one = engine("broken")
    with pytest.raises(
        EngineFault, match=r"ValueError: no such architecture[\s\S]*log: .*engine\.log, which ends"
    ) as told:
        one.load(nothing)
    assert "Traceback" in str(told.value) or "raise ValueError" in str(told.value)
    running = actors("HostActor", os.getpid())
    one.close()
    assert not survivors(running)


def test_an_engine_that_no_node_has_room_for_is_a_fault_that_says_so(engine):
    one = engine(tensor_parallel_size=64)
    with pytest.raises(EngineFault, match="no node of the cluster has 64 cores"):
        one.load(nothing)


def test_an_engine_waits_for_room_no_longer_than_for_loading(engine):
    held = [engine(tensor_parallel_size=4)]
    held[0].load(nothing)
    late = engine(timeout_s=1.0)
    assert not late.is_preparing, "while it waits it disturbs nobody"
    with pytest.raises(EngineFault, match="no room on the cluster, it needs 1 core: not ready after"):
        late.load(nothing)
