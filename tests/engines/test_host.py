"""The engine host: what it says, how it dies, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import ModelSpec, Prompt, PromptStyle, Request, Sampling

HERE = Path(__file__).parent
ENVIRONMENT = {"PYTHONPATH": str(HERE)}
DRIVER = "drivers:EchoDriver"


def request(text: str) -> Request:
    return Request(f"id of {text!r}", "task", Prompt(PromptStyle.COMPLETION, text), Sampling())


def gone(pid: int, within_s: float = 5.0) -> bool:
    """True once a process has ended (a zombie has)."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def engine(tmp_path):
    """Makes hosted engines with the echo driver and closes them."""
    made: list[HostedEngine] = []

    def make(model: str = "echo", timeout_s: float = 60.0, silence_s: float = 600.0) -> HostedEngine:
        context = EngineContext(tmp_path / "engine.log", timeout_s, silence_s)
        spec = ModelSpec("m", model, engine={"marker": str(tmp_path / "died once")})
        made.append(HostedEngine(spec, context, driver=DRIVER, environment=ENVIRONMENT))
        return made[-1]

    yield make
    for one in made:
        one.close()


def nothing(stage: str, detail: str) -> None:
    """A progress that nobody watches."""


def test_answers_come_back_to_the_request_that_asked(engine):
    one = engine()
    info = one.load(nothing)
    texts = ["a", "\ud800\x00\u202e", "x" * 200_000]
    futures = [one.submit(request(text)) for text in texts]
    assert [future.result(10).text for future in futures] == texts
    assert info.load_s is not None


def test_closing_ends_the_host_and_its_children(engine):
    one = engine()
    grandchild = one.load(nothing).facts["grandchild"]
    pending = one.submit(request("hang"))
    one.close()
    assert gone(one.pid)
    assert gone(grandchild)
    with pytest.raises(EngineFault, match="the engine was closed"):
        pending.result(5)
    one.close()  # may be called twice


def test_a_refused_request_leaves_the_engine_alive(engine):
    one = engine()
    one.load(nothing)
    with pytest.raises(EngineFault, match="too long"):
        one.submit(request("refuse")).result(10)
    assert one.submit(request("again")).result(10).text == "again"


def test_a_model_that_does_not_load_is_told_in_its_own_words_with_the_log(engine):
    one = engine("broken")
    with pytest.raises(EngineFault) as error:
        one.load(nothing)
    assert str(error.value).startswith("ValueError: no such architecture\n")
    assert "engine.log" in str(error.value)


def test_secrets_are_in_no_message_and_in_no_log(tmp_path, monkeypatch):
    monkeypatch.setenv("TEAM_HUB", "value of the team's token")
    log = tmp_path / "engine.log"
    spec = ModelSpec("pa55word", "talks", token_env="TEAM_HUB")
    one = HostedEngine(spec, EngineContext(log, 60), driver=DRIVER, environment=ENVIRONMENT)
    with pytest.raises(EngineFault, match="no access with") as error:
        one.load(nothing)
    one.close()
    for text in (str(error.value), log.read_text()):
        assert "Traceback" in text
        assert "no access with ***, nor at https://***@hub" in text
        assert "team's token" not in text


def test_an_engine_that_died_is_started_again_and_answers_what_was_left(engine):
    one = engine()
    grandchild = one.load(nothing).facts["grandchild"]
    before = one.submit(request("before")).result(10)
    left = [one.submit(request(text)) for text in ("die once", "b", "c")]
    assert [future.result(60).text for future in left] == ["die once", "b", "c"]
    after = one.submit(request("after")).result(10)
    assert gone(grandchild)
    disturbed = [bool(answer.timing.disturbed) for answer in (before, *(f.result() for f in left), after)]
    assert disturbed == [False, True, True, True, False]
    assert "the engine host died (signal SIGKILL)) and was started again; " in one.status.notes[0]
    assert not one.status.trouble


def test_a_second_death_fails_what_is_pending_and_what_comes_after(engine):
    one = engine()
    one.load(nothing)
    answered, pending = one.submit(request("a")), one.submit(request("hang"))
    assert answered.result(10).text == "a"
    with pytest.raises(EngineFault, match="SIGKILL") as error:
        one.submit(request("die")).result(60)
    assert "died before (the engine host died (signal SIGKILL)) and was started again once" in str(
        error.value
    )
    with pytest.raises(EngineFault, match="the engine host died"):
        pending.result(10)
    with pytest.raises(EngineFault):
        one.submit(request("b")).result(10)
    assert answered.result().text == "a"
    assert gone(one.pid)


@pytest.mark.parametrize("text", ["hang", "hold"])
def test_an_engine_that_gives_no_sign_of_life_is_ended_and_not_started_again(engine, text):
    """`hold` also stops the host's other threads, and with them its heartbeats."""
    one = engine(silence_s=1.5)
    one.load(nothing)
    with pytest.raises(
        EngineFault, match=r"hangs: no sign of life for \d s while requests wait; --llmeval-hang"
    ):
        one.submit(request(text)).result(60)
    assert gone(one.pid)
    assert not one.status.notes


def test_silence_is_no_trouble_where_nobody_waits(engine):
    """A cancelled request is nobody's."""
    one = engine(silence_s=1.5)
    one.load(nothing)
    nobodys = one.submit(request("hang"))
    assert nobodys.cancel()
    quiet_until = time.monotonic() + 2.5
    while time.monotonic() < quiet_until:
        assert one.submit(request(f"{time.monotonic()}")).result(10)
    assert nobodys.cancelled()
    assert not one.status.trouble


def test_a_host_that_dies_before_it_was_asked_is_replaced(engine):
    one = engine()
    os.kill(one.pid, signal.SIGKILL)
    assert gone(one.pid)
    one.load(nothing)
    assert one.submit(request("a")).result(10).text == "a"


def test_loading_has_a_time_limit(engine):
    one = engine("slow", timeout_s=1.0)
    with pytest.raises(EngineFault, match=r"not ready after \d+ s; --llmeval-load-timeout"):
        one.load(nothing)
    assert gone(one.pid)


@pytest.mark.parametrize("last", ["a", "hold"])
def test_nothing_outlives_a_parent_that_is_killed(tmp_path, last):
    """`hold`: the host itself cannot notice, for a call holds the interpreter's lock for ever."""
    program = f"""
from pathlib import Path
from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.schema import ModelSpec, Prompt, PromptStyle, Request, Sampling
import time
context = EngineContext(Path({str(tmp_path / "engine.log")!r}), 60)
one = HostedEngine(ModelSpec("m", "echo"), context, driver={DRIVER!r}, environment={ENVIRONMENT!r})
info = one.load(lambda stage, detail: None)
ask = lambda text: one.submit(Request(text, "task", Prompt(PromptStyle.COMPLETION, text), Sampling()))
ask("first").result()
ask({last!r})
while {last!r} == "hold" and one._quiet_s < 2.5:  # heartbeats come once a second, unless the lock is held
    time.sleep(0.05)
print(one.pid, info.facts["grandchild"], flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    host, grandchild = map(int, parent.stdout.readline().split())
    parent.kill()
    parent.wait()
    assert gone(host)
    assert gone(grandchild)
