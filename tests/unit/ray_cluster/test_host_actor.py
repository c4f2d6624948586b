"""The relay between pytest and an engine host, without a cluster and without a model."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import psutil
import pytest

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.ray_cluster.host_actor import HostActor
from pytest_llmeval.schema import ModelSpec, Prompt, PromptStyle, Request, Sampling

DRIVERS = str(Path(__file__).parents[2] / "engines")


@pytest.fixture
def actor():
    one = HostActor()
    yield one
    one.end()


def until(actor: HostActor, kind: type) -> tuple[list, bytes, str | None]:
    """What is heard up to a message of this kind, or the end."""
    messages, log = [], b""
    while True:
        heard = actor.hear()
        messages += map(protocol.decode, heard.lines)
        log += heard.log
        if heard.ended is not None or any(isinstance(one, kind) for one in messages):
            return messages, log, heard.ended


def test_messages_pass_in_both_directions_and_the_end_is_told_with_the_log(actor, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    placed = actor.start("drivers:EchoDriver", {"PYTHONPATH": DRIVERS}, None)
    asked = Request("1", "task", Prompt(PromptStyle.COMPLETION, "\ud800 hello"), Sampling())
    actor.tell(
        protocol.encode(protocol.Load(ModelSpec("m", "echo"))) + protocol.encode(protocol.Submit(asked))
    )
    messages, _, ended = until(actor, protocol.Done)
    assert ended is None
    assert messages[-1].completion.text == "\ud800 hello"
    assert psutil.pid_exists(placed.pid)
    os.killpg(placed.pid, signal.SIGKILL)
    _, _, ended = until(actor, protocol.Failed)
    assert ended == "the engine host died (signal SIGKILL)"
    assert not list(tmp_path.glob("llmeval-host-*")), "its log leaves no file on the node"


def test_what_a_host_wrote_before_it_died_is_heard(actor):
    actor.start("nowhere:Driver", {"PYTHONPATH": DRIVERS}, None)
    messages, log, ended = until(actor, type(None))
    assert [one.error for one in messages if isinstance(one, protocol.Failed)] == [
        "ModuleNotFoundError: No module named 'nowhere'"
    ]
    assert b"Traceback" in log
    assert ended
