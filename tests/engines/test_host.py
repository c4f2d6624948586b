"""The engine host: what it says, how it dies, and that nothing stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.child import WORKER, describe_exit
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.engines.host.launchers import ChildLauncher
from pytest_llmeval.engines.host.process import Host
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import ModelSpec, Prompt, PromptStyle, Request, Sampling

HERE = Path(__file__).parent
PATIENCE_S = 60.0  # on a loaded machine; nothing here waits that long otherwise
ENVIRONMENT = {"PYTHONPATH": str(HERE)}
DRIVER = "drivers:EchoDriver"


def request(text: str) -> Request:
    return Request(f"id of {text!r}", "task", Prompt(PromptStyle.COMPLETION, text), Sampling())


def gone(pid: int) -> bool:
    """True once a process has ended (a zombie has)."""
    deadline = time.monotonic() + PATIENCE_S
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

    def make(model: str = "echo", timeout_s: float = PATIENCE_S, silence_s: float = 600.0) -> HostedEngine:
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
    assert [future.result(PATIENCE_S).text for future in futures] == texts
    assert info.load_s is not None


def test_closing_ends_the_host_and_its_children(engine):
    one = engine()
    grandchild = one.load(nothing).facts["grandchild"]
    pending = one.submit(request("hang"))
    one.close()
    assert gone(one.pid)
    assert gone(grandchild)
    with pytest.raises(EngineFault, match="the engine was closed"):
        pending.result(PATIENCE_S)
    one.close()  # may be called twice


def test_a_refused_request_leaves_the_engine_alive(engine):
    one = engine()
    one.load(nothing)
    with pytest.raises(EngineFault, match="too long"):
        one.submit(request("refuse")).result(PATIENCE_S)
    assert one.submit(request("again")).result(PATIENCE_S).text == "again"


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
    before = one.submit(request("before")).result(PATIENCE_S)
    left = [one.submit(request(text)) for text in ("die once", "b", "c")]
    assert [future.result(PATIENCE_S).text for future in left] == ["die once", "b", "c"]
    after = one.submit(request("after")).result(PATIENCE_S)
    assert gone(grandchild)
    disturbed = [bool(answer.timing.disturbed) for answer in (before, *(f.result() for f in left), after)]
    assert disturbed == [False, True, True, True, False]
    assert "the engine host died (signal SIGKILL)) and was started again; " in one.status.notes[0]
    assert not one.status.trouble


def test_a_second_death_fails_what_is_pending_and_what_comes_after(engine):
    one = engine()
    one.load(nothing)
    answered, pending = one.submit(request("a")), one.submit(request("hang"))
    assert answered.result(PATIENCE_S).text == "a"
    with pytest.raises(EngineFault, match="SIGKILL") as error:
        one.submit(request("die")).result(PATIENCE_S)
    assert "died before (the engine host died (signal SIGKILL)) and was started again once" in str(
        error.value
    )
    with pytest.raises(EngineFault, match="the engine host died"):
        pending.result(PATIENCE_S)
    with pytest.raises(EngineFault):
        one.submit(request("b")).result(PATIENCE_S)
    assert answered.result().text == "a"
    assert gone(one.pid)


@pytest.mark.parametrize("text", ["hang", "hold"])
def test_an_engine_that_gives_no_sign_of_life_is_ended_and_not_started_again(engine, text):
    """`hold` also stops the host's other threads, and with them its heartbeats."""
    one = engine(silence_s=1.5)
    one.load(nothing)
    with pytest.raises(
        EngineFault, match=r"hangs: no sign of life for \d+ s while requests wait; --llmeval-hang"
    ):
        one.submit(request(text)).result(PATIENCE_S)
    assert gone(one.pid)
    assert not one.status.notes


def test_silence_is_no_trouble_where_nobody_waits(engine):
    """A cancelled request is nobody's. The limit is one that a starved machine does not pass by itself."""
    silence_s = 5.0
    one = engine(silence_s=silence_s)
    one.load(nothing)
    nobodys = one.submit(request("hang"))
    assert nobodys.cancel()
    quiet_until = time.monotonic() + silence_s + 1.0
    while time.monotonic() < quiet_until:
        assert one.submit(request(f"{time.monotonic()}")).result(PATIENCE_S)
    assert nobodys.cancelled()
    assert not one.status.trouble


def test_a_host_that_dies_before_it_was_asked_is_replaced(engine):
    one = engine()
    os.kill(one.pid, signal.SIGKILL)
    assert gone(one.pid)
    one.load(nothing)
    assert one.submit(request("a")).result(PATIENCE_S).text == "a"


def test_a_host_whose_forked_children_live_on_is_known_to_be_dead(engine):
    one = engine()
    one.load(nothing)
    with pytest.raises(EngineFault, match=r"the engine host died \(signal SIGKILL\)"):
        one.submit(request("fork and die")).result(PATIENCE_S)


def test_a_host_that_says_nonsense_is_not_said_to_have_run_out_of_memory(engine):
    one = engine()
    one.load(nothing)
    with pytest.raises(EngineFault, match="what the engine host said was not understood") as error:
        one.submit(request("babble")).result(PATIENCE_S)
    assert "out-of-memory" not in str(error.value)


def test_an_engine_that_cannot_be_started_again_leaves_nobody_waiting(tmp_path):
    """The folder of its log is gone, so there is nothing to start it with and nothing to read."""
    log_path = tmp_path / "run" / "engine" / "m.log"
    log_path.parent.mkdir(parents=True)
    spec = ModelSpec("m", "echo")
    one = HostedEngine(spec, EngineContext(log_path, 60.0), driver=DRIVER, environment=ENVIRONMENT)
    one.load(nothing)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(EngineFault, match=r"m\.log cannot be read: No such file") as error:
        one.submit(request("die")).result(PATIENCE_S)
    assert "It could not be started again: no engine host could be started: " in str(error.value)
    assert "died before" not in str(error.value)
    one.close()


def test_a_host_that_cannot_be_started_is_a_fault_and_leaves_no_file_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    context = EngineContext(tmp_path / "nowhere" / "engine.log", 60.0)
    with pytest.raises(EngineFault, match=r"no engine host could be started: .*nowhere"):
        HostedEngine(ModelSpec("m", "echo"), context, driver=DRIVER, environment=ENVIRONMENT)
    assert os.listdir("/proc/self/fd") == before


def test_a_host_that_nobody_can_listen_to_is_a_fault_and_does_not_stay(tmp_path):
    """The process starts, and then there is no memory for the thread that would listen to it."""
    before, usual = os.listdir("/proc/self/fd"), threading.stack_size(1 << 46)
    try:
        with pytest.raises(EngineFault, match=r"no engine host could be started: can't start new thread"):
            HostedEngine(
                ModelSpec("m", "echo"),
                EngineContext(tmp_path / "engine.log", 60.0),
                driver=DRIVER,
                environment=ENVIRONMENT,
            )
    finally:
        threading.stack_size(usual)
    assert not [child for child in psutil.Process().children() if WORKER in " ".join(child.cmdline())]
    assert os.listdir("/proc/self/fd") == before


class DeadInTime(ChildLauncher):
    """Starts hosts; the first is dead before anybody looks, and its death is told while somebody asks for it."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []

    def of(self, spec):
        return self

    def has_gpu(self):
        return False

    def start(self, *arguments):
        self.hosts.append(super().start(*arguments))
        return self.hosts[-1]


def test_a_death_that_is_told_at_the_end_of_loading_is_counted_once(tmp_path):
    launcher = DeadInTime()
    context = EngineContext(tmp_path / "engine.log", 60.0, launchers=launcher)
    one = HostedEngine(ModelSpec("m", "echo"), context, driver=DRIVER, environment=ENVIRONMENT)
    (first,) = launcher.hosts

    def is_set():
        """Between the look and what follows, the listening thread tells the death."""
        os.killpg(first.pid, signal.SIGKILL)
        first._listener.join()
        return True

    first.dead.is_set = is_set
    one.load(nothing)
    assert one.submit(request("a")).result(PATIENCE_S).text == "a"
    assert len(launcher.hosts) == 2
    one.close()


def test_a_host_tells_why_it_failed_and_ends_its_group_where_its_log_takes_nothing_more():
    ours, theirs = socket.socketpair()
    keepers_end, lifeline = os.pipe()
    fds = [theirs.fileno(), keepers_end]
    command = [sys.executable, "-m", WORKER, *map(str, fds), "nowhere:Driver"]
    with Path("/dev/full").open("wb") as full, theirs:
        host = subprocess.Popen(command, stdout=full, stderr=full, pass_fds=fds, start_new_session=True)
    os.close(keepers_end)
    with ours, ours.makefile("rb") as said:
        messages = [protocol.decode(line) for line in said]
    assert protocol.Failed("ModuleNotFoundError: No module named 'nowhere'") in messages
    assert host.wait(PATIENCE_S) == -signal.SIGKILL
    os.close(lifeline)


@pytest.mark.parametrize(
    ("status", "told"), [(-9, "signal SIGKILL"), (-40, "signal 40"), (3, "exit status 3")]
)
def test_every_end_has_a_name(status, told):
    assert describe_exit(status) == told


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


LOADS_GREEDILY = """
import os, sys
from pathlib import Path
from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import ModelSpec
procs, log, drivers = sys.argv[1:]
Path(procs).write_text(str(os.getpid()))
engine = HostedEngine(
    ModelSpec("m", "greedy"), EngineContext(Path(log), 60.0),
    driver="drivers:EchoDriver", environment={"PYTHONPATH": drivers},
)
try:
    engine.load(lambda stage, detail: None)
except EngineFault as fault:
    print(fault)
"""


def remove(cgroup: Path) -> None:
    """The kernel lets go of a cgroup when the last of its processes is gone, which may be a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while (cgroup / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    cgroup.rmdir()


@pytest.fixture
def small_container():
    """A memory cgroup of a quarter of a gigabyte; its file that takes a process in."""
    root = Path("/sys/fs/cgroup")
    v1 = (root / "memory").is_dir()
    folder = (root / "memory" if v1 else root) / f"llmeval-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"needs to make a cgroup: {error}")
    try:
        try:
            (folder / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(256 << 20))
        except OSError as error:
            pytest.skip(f"needs to limit a cgroup's memory: {error}")
        yield folder / "cgroup.procs"
    finally:
        remove(folder)


def test_a_host_that_the_out_of_memory_killer_ended_is_a_fault_of_memory(small_container, tmp_path):
    arguments = [str(small_container), str(tmp_path / "log"), str(HERE)]
    done = subprocess.run(
        [sys.executable, "-c", LOADS_GREEDILY, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "out of memory: the engine host died (signal SIGKILL by the out-of-memory killer" in done.stdout, (
        done
    )
    assert "at the memory limit of this container: 0.25 GiB)" in done.stdout
    assert "Give the container or machine more" in done.stdout
