"""A device for one model at a time: a lock between runs, whose other processes are on it, memory that is free again.

Locks are kept apart by the device's UUID, in files under LOCKS that the kernel unlocks when their process ends,
however it ends. They hold runs of ours apart; nobody else heeds them. A CPU has no lock: an engine there takes the
memory that its entry names and no more, and a machine's cores are shared with everybody anyway.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import psutil

from pytest_llmeval.devices import device_count, memory_share
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import ModelSpec
from pytest_llmeval.telemetry.nvml import NoDevices, Nvml
from pytest_llmeval.units import GIB

LOCKS = Path("/tmp/pytest_llmeval-devices")  # not TMPDIR, which may be a user's own
POLL_S = 0.5
FREE_WITHIN_S = 30.0
LOOK_S = 5.0

Progress = Callable[[str, str], None]


class Card(Protocol):
    """A device that an engine uses; a MIG instance is one by itself. Queries raise OSError where there is no answer."""

    @property
    def uuid(self) -> str: ...
    @property
    def name(self) -> str: ...
    def memory(self) -> tuple[int, int]:
        """Free and total bytes."""

    def processes(self) -> frozenset[int]:
        """Who has memory on it, by process id; in a container these may be the ids of the world outside."""


class NvmlCard:
    """A device as NVML knows it.

    Raises:
        NoDevices: it was lost meanwhile.
    """

    def __init__(self, library: Any, uuid: str, name: str) -> None:
        self._library = library
        try:
            self._handle = library.nvmlDeviceGetHandleByUUID(uuid)
        except library.NVMLError as error:
            raise NoDevices(f"{name} ({uuid}) is lost: {error}") from error
        self.uuid, self.name = uuid, name

    def memory(self) -> tuple[int, int]:
        with self._answers():
            found = self._library.nvmlDeviceGetMemoryInfo(self._handle)
            return int(found.free), int(found.total)

    def processes(self) -> frozenset[int]:
        with self._answers():
            listed = self._library.nvmlDeviceGetComputeRunningProcesses(self._handle)
            return frozenset(int(process.pid) for process in listed)

    @contextlib.contextmanager
    def _answers(self) -> Any:
        try:
            yield
        except self._library.NVMLError as error:
            raise OSError(f"NVML: {error}") from error


def cards_of(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> list[NvmlCard]:
    """The devices that an engine of this entry will use; none without a GPU or a driver that answers."""
    if spec.engine.get("device") == "cpu":
        return []
    setting = spec.environment.get("CUDA_VISIBLE_DEVICES", environ.get("CUDA_VISIBLE_DEVICES"))
    try:
        nvml = Nvml()
        found = nvml.devices(setting, device_count(spec), lambda: set())
        return [NvmlCard(nvml.library, gpu.facts.uuid, gpu.facts.name) for gpu in found]
    except NoDevices:
        return []


def bytes_wanted(spec: ModelSpec, total: int) -> int:
    """What must be free on a device before the model is loaded: vLLM refuses to start with less."""
    if spec.kind != "vllm":
        return round(spec.needs.device_memory_gib * GIB)
    return int(total * memory_share(spec))


class Occupancy:
    """The devices of one engine, from before it loads until it is closed.

    `holder` names the run to others that wait.
    """

    def __init__(
        self,
        spec: ModelSpec,
        cards: Sequence[Card],
        holder: str,
        *,
        locks: Path = LOCKS,
        pid: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.notes: list[str] = []
        self._spec = spec
        # One order for all, or two engines wait for each other.
        self._cards = sorted(cards, key=lambda card: card.uuid)
        self._pid = os.getpid() if pid is None else pid
        self._holder = f"{holder}, pid {self._pid}"
        self._locks = locks
        self._sleep, self._clock = sleep, clock
        self._held: list[int] = []
        self._named: list[int] = []  # of these, the ones that hold our name
        self._known: dict[str, frozenset[int]] = {}
        self._looked_at = clock()

    def acquire(self, progress: Progress, timeout_s: float) -> None:
        """Wait until the devices are ours and their memory is free.

        Raises:
            EngineFault: another run of ours held one of them for `timeout_s`; the message names it. Or they cannot
                be locked on this machine.
        """
        for card in self._cards:
            self._lock(card, progress, timeout_s)
        for card in self._cards:
            with contextlib.suppress(OSError):
                self._await_memory(card, progress)
                self._known[card.uuid] = card.processes()
                self._name_others(card, self._known[card.uuid])

    def settled(self) -> None:
        """The engine is loaded: whoever has come to the devices since `acquire` belongs to it."""
        for card in self._cards:
            with contextlib.suppress(OSError):
                self._known[card.uuid] = self._known.get(card.uuid, frozenset()) | card.processes()

    def look(self) -> None:
        """See whether others have come meanwhile; asks the driver once in a few seconds at most."""
        if self._clock() - self._looked_at < LOOK_S:
            return
        self._looked_at = self._clock()
        for card in self._cards:
            with contextlib.suppress(OSError):
                present = card.processes()
                known = self._known.get(card.uuid, frozenset())
                self._known[card.uuid] = known | present
                self._name_others(card, present - known)

    def release(self) -> None:
        """Let the next run have the devices. May be called twice."""
        for (
            file
        ) in self._named:  # or whoever has it next is taken for this run until it has written its own name
            with contextlib.suppress(OSError):
                os.ftruncate(file, 0)
        for file in self._held:
            os.close(file)
        self._held.clear()
        self._named.clear()

    def _name_others(self, card: Card, pids: frozenset[int]) -> None:
        for pid in sorted(pid for pid in pids if not has_ended(pid)):
            self.notes.append(
                f"{describe(pid)} used {card.name} ({card.uuid}) at the same time: speeds and memory are not this "
                f"engine's alone"
            )

    def _lock(self, card: Card, progress: Progress, timeout_s: float) -> None:
        file = self._opened(card)
        started = self._clock()
        while not locked(file):
            holder = os.pread(file, 1000, 0).decode("utf-8", "replace").strip() or "a run that says no name"
            if holder.endswith(f", pid {self._pid}"):
                break  # another engine of this run, which is not kept from itself
            seconds = self._clock() - started
            if seconds > timeout_s:
                os.close(file)
                raise EngineFault(
                    f"{card.name} ({card.uuid}) is in use by another run ({holder}), after waiting {seconds:.0f} s. "
                    f"Wait for it, choose another device with CUDA_VISIBLE_DEVICES, or raise --llmeval-load-timeout"
                )
            progress(f"waiting for {card.name}", f"held by {holder}, {seconds:.0f} s")
            self._sleep(POLL_S)
        else:
            os.ftruncate(file, 0)
            os.pwrite(file, self._holder.encode(), 0)
            self._named.append(file)
        self._held.append(file)

    def _opened(self, card: Card) -> int:
        try:
            return open_lock(self._locks, card.uuid)
        except OSError as error:
            raise EngineFault(
                f"{card.name} ({card.uuid}) cannot be locked against other runs: {error}. Give this user the right "
                f"to write in {self._locks}, or remove that folder"
            ) from error

    def _await_memory(self, card: Card, progress: Progress) -> None:
        """A process that was killed gives its memory back a moment after it is gone."""
        started = self._clock()
        while (seconds := self._clock() - started) < FREE_WITHIN_S:
            free, total = card.memory()
            if free >= bytes_wanted(self._spec, total):
                return
            used = f"{(total - free) / GIB:.1f} of {total / GIB:.1f} GiB in use"
            progress(f"waiting for memory of {card.name}", f"{used}, {seconds:.0f} s")
            self._sleep(POLL_S)


def open_lock(folder: Path, uuid: str) -> int:
    """The lock file of a device, which users of this machine share."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
    path = folder / f"{uuid.replace('/', '_')}.lock"
    try:  # first without O_CREAT: kernels refuse that for files of others in such folders
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        os.fchmod(file, 0o666)
        return file


def locked(file: int) -> bool:
    """Lock a file where nobody else holds it; the kernel unlocks it when it is closed, or its process ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def has_ended(pid: int) -> bool:
    """True where a process computes no more and only waits for its parent: drivers list it for a moment longer."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return False


def describe(pid: int) -> str:
    """`process 71 (python, alice)`, as far as it can be seen from here."""
    try:
        process = psutil.Process(pid)
        return f"process {pid} ({process.name()}, {process.username()})"
    except psutil.Error:
        return f"process {pid} (not visible from here)"
