"""Devices for one model at a time. The cards here are fakes: they pretend, and measure nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmeval.devices.occupancy import LOOK_S, Occupancy, bytes_wanted, locked, open_lock
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import ModelSpec, Needs
from pytest_llmeval.units import GIB

SPEC = ModelSpec("m", "org/model", engine={"gpu_memory_utilization": 0.9})


class FakeCard:
    """A test double: a device of 80 GiB that says what it is told to."""

    uuid, name = "GPU-fake-0", "FAKE GPU (test double)"

    def __init__(self, free_gib: float = 80.0, pids: frozenset[int] = frozenset()) -> None:
        self.free_gib, self.pids = free_gib, pids

    def memory(self) -> tuple[int, int]:
        return round(self.free_gib * GIB), 80 * GIB

    def processes(self) -> frozenset[int]:
        return self.pids


class World:
    """A clock that moves when somebody sleeps, and what happens then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []
        self.meanwhile = lambda: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()

    def progress(self, stage: str, detail: str) -> None:
        self.told.append(f"{stage}: {detail}")


@pytest.fixture
def world():
    return World()


@pytest.fixture
def occupy(tmp_path, world):
    """Makes occupancies of runs that think they are different processes."""

    def make(card: FakeCard, holder: str = "run A", pid: int = 1) -> Occupancy:
        locks = tmp_path / "locks"
        return Occupancy(SPEC, [card], holder, locks=locks, pid=pid, sleep=world.sleep, clock=world.clock)

    return make


def test_a_second_run_waits_for_the_first_and_says_for_whom(occupy, world):
    first, second = occupy(FakeCard(), "run A, model x"), occupy(FakeCard(), "run B", pid=2)
    first.acquire(world.progress, 10)
    world.meanwhile = first.release
    second.acquire(world.progress, 10)
    assert world.told == ["waiting for FAKE GPU (test double): held by run A, model x, pid 1, 0 s"]
    second.release()
    second.release()


def test_a_run_that_has_the_device_and_no_name_yet_is_not_taken_for_the_one_before(occupy, world, tmp_path):
    earlier = occupy(FakeCard())
    earlier.acquire(world.progress, 10)
    earlier.release()
    other = open_lock(tmp_path / "locks", FakeCard.uuid)
    try:
        assert locked(other)
        with pytest.raises(EngineFault, match="in use by another run"):
            occupy(FakeCard()).acquire(world.progress, 2)
    finally:
        os.close(other)


def test_waiting_has_a_limit_and_the_fault_names_the_holder(occupy, world):
    occupy(FakeCard(), "run A, model x").acquire(world.progress, 10)
    with pytest.raises(EngineFault, match=r"GPU-fake-0\) is in use by another run \(run A, model x, pid 1\)"):
        occupy(FakeCard(), "run B", pid=2).acquire(world.progress, 10)


def test_a_run_is_not_kept_from_its_own_device(occupy, world):
    occupy(FakeCard()).acquire(world.progress, 10)
    occupy(FakeCard(), "run A, model y").acquire(world.progress, 10)
    assert not world.told


def test_a_killed_run_holds_nothing(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom pytest_llmeval.devices.occupancy import locked, open_lock\n"
        "print(locked(open_lock(Path(sys.argv[1]), 'GPU-fake-0')), flush=True)\ntime.sleep(600)"
    )
    other = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "True\n"
    with pytest.raises(EngineFault, match="a run that says no name"):
        Occupancy(SPEC, [FakeCard()], "B", locks=tmp_path).acquire(lambda stage, detail: None, -1)
    other.kill()
    other.wait()
    mine = Occupancy(SPEC, [FakeCard()], "B", locks=tmp_path)
    mine.acquire(lambda stage, detail: None, 0)
    mine.release()


def test_memory_is_seen_free_before_a_model_loads(occupy, world):
    card = FakeCard(free_gib=10.0)

    def give_back() -> None:
        card.free_gib += 20

    world.meanwhile = give_back
    occupy(card).acquire(world.progress, 10)
    assert card.free_gib >= 72
    assert world.told[0] == "waiting for memory of FAKE GPU (test double): 70.0 of 80.0 GiB in use, 0 s"


def test_memory_that_others_keep_is_waited_for_with_a_limit(occupy, world):
    occupy(FakeCard(free_gib=10.0)).acquire(world.progress, 10)
    assert 30 <= world.now < 40


def test_processes_of_others_are_named_and_our_own_are_not(occupy, world):
    card = FakeCard(pids=frozenset({os.getpid()}))  # somebody else's, as far as the engine is concerned
    one = occupy(card)
    one.acquire(world.progress, 10)
    card.pids |= {111}  # the engine's own
    one.settled()
    assert len(one.notes) == 1
    assert one.notes[0].startswith(f"process {os.getpid()} (")
    assert "used FAKE GPU (test double) (GPU-fake-0) at the same time" in one.notes[0]
    card.pids |= {2**22 + 1}  # comes while the engine works; beyond what Linux numbers
    world.now += 2 * LOOK_S
    one.look()
    one.look()
    assert one.notes[1].startswith(f"process {2**22 + 1} (not visible from here) used")
    assert len(one.notes) == 2


def test_a_process_that_has_ended_disturbs_nobody(occupy, world):
    """The engine before this one: its parent is gone too, and whoever inherits it takes a moment to notice."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    one = occupy(FakeCard(pids=frozenset({ended.pid})))
    one.acquire(world.progress, 10)
    assert one.notes == []
    ended.wait()


def test_what_must_be_free_is_what_vllm_will_take():
    assert bytes_wanted(SPEC, 100) == 90
    assert bytes_wanted(ModelSpec("m", "w"), 100) == 92
    plain = ModelSpec("m", "w", kind="transformers", needs=Needs(device_memory_gib=2))
    assert bytes_wanted(plain, 100) == 2 * GIB


def test_no_lock_where_there_is_no_device(tmp_path):
    nothing = Occupancy(SPEC, [], "run A", locks=tmp_path / "locks")
    nothing.acquire(lambda stage, detail: None, 0)
    nothing.look()
    nothing.release()
    assert not Path(tmp_path / "locks").exists()


def test_a_folder_of_locks_that_is_none_is_a_fault_that_says_what_to_do(tmp_path, world):
    (tmp_path / "locks").write_text("a file")
    one = Occupancy(SPEC, [FakeCard()], "run in x, model m", locks=tmp_path / "locks")
    with pytest.raises(
        EngineFault, match=r"cannot be locked against other runs: .*Not a directory.*remove that folder"
    ):
        one.acquire(world.progress, 1.0)
