"""NVML: which devices there are, and one reading of a device. Every query may fail by itself.

The module `pynvml` (of the package nvidia-ml-py) is an argument, so that it is imported when telemetry starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from pytest_llmeval.telemetry.pace import Pace
from pytest_llmeval.telemetry.readings import DeviceReading
from pytest_llmeval.telemetry.visible import Board, Chosen, chosen

Group = Callable[[], set[int]]  # process ids of the engine's group

# Errors that no later query will take back (nvml.h, nvmlReturn_t): invalid argument, not supported, no
# permission, function not found, argument version mismatch, deprecated.
LASTING = frozenset({2, 3, 4, 13, 25, 26})
# Of a core, for one query of one device. The energy counter took 2.4 ms on an H100, all others together 0.1 ms.
QUERY_SHARE = 0.0005
ALWAYS = frozenset({"power_w"})  # energy is its integral where there is no counter
LIBRARY_NOT_FOUND, NO_PERMISSION, DRIVER_NOT_LOADED = 12, 4, 9


class NoDevices(Exception):
    """There is nothing to sample; the message is the reason, for people."""


@dataclass(frozen=True)
class GpuFacts:
    """What does not change about a device. `bandwidth_bytes_s` is twice its highest memory clock × bus width."""

    index: int
    name: str
    uuid: str
    memory_bytes: int | None
    bandwidth_bytes_s: float | None
    power_limit_w: float | None
    mig: bool


class Nvml:
    """An open NVML session. `close()` ends it.

    Raises:
        NoDevices: there is no driver, or it refuses.
    """

    def __init__(self, library: Callable[[], ModuleType] = lambda: import_module("pynvml")) -> None:
        self.library: Any = library()
        try:
            self.library.nvmlInit()
        except self.library.NVMLError as error:
            raise NoDevices(_why_not_open(error)) from error

    def close(self) -> None:
        try:
            self.library.nvmlShutdown()
        except self.library.NVMLError:
            return  # the driver went away: nothing is left to give back

    def driver(self) -> str | None:
        version = self._ask(self.library.nvmlSystemGetDriverVersion)
        return None if version is None else text(version)

    def devices(self, setting: str | None, count: int, group: Group) -> list[Gpu]:
        """The first `count` devices that CUDA_VISIBLE_DEVICES leaves.

        Raises:
            NoDevices: it leaves none, or they cannot be listed.
        """
        try:
            boards = list(self._boards())
        except self.library.NVMLError as error:
            raise NoDevices(f"NVML cannot list its devices: {error}") from error
        found = chosen(setting, boards, count)
        if not found:
            shown = "" if setting is None else f" (CUDA_VISIBLE_DEVICES={setting!r})"
            raise NoDevices(f"the driver shows no device{shown}")
        try:
            return [Gpu(self.library, device, group) for device in found]
        except self.library.NVMLError as error:
            raise NoDevices(f"a device was lost: {error}") from error

    def _boards(self) -> Iterator[Board]:
        for index in range(self.library.nvmlDeviceGetCount()):
            handle = self.library.nvmlDeviceGetHandleByIndex(index)
            mig = self._ask(self.library.nvmlDeviceGetMigMode, handle)
            on = bool(mig and mig[0])
            instances = tuple(self._instances(handle)) if on else ()
            yield Board(index, text(self.library.nvmlDeviceGetUUID(handle)), on, instances)

    def _instances(self, handle: Any) -> Iterator[str]:
        for place in range(self._ask(self.library.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            found = self._ask(self.library.nvmlDeviceGetMigDeviceHandleByIndex, handle, place)
            if found is not None:
                yield text(self.library.nvmlDeviceGetUUID(found))

    def _ask(self, query: Callable[..., Any], *arguments: Any) -> Any:
        """The answer, or None where NVML has none."""
        try:
            return query(*arguments)
        except self.library.NVMLError:
            return None


def _why_not_open(error: Any) -> str:
    code = getattr(error, "value", None)
    known = {
        LIBRARY_NOT_FOUND: "no NVIDIA driver on this machine (libnvidia-ml.so.1 not found)",
        DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
        NO_PERMISSION: "no permission to use NVML",
    }
    return known.get(code, f"NVML does not start: {error}") if isinstance(code, int) else str(error)


class Gpu:
    """One device an engine uses.

    `absent` says which figures it will not give, and why; `errors` counts queries that failed now and then.
    On a MIG instance memory is the instance's own; power, energy, temperature and clocks are the whole board's.
    """

    def __init__(
        self, library: Any, device: Chosen, group: Group, cpu_clock: Callable[[], float] = time.thread_time
    ) -> None:
        self._library = library
        self._cpu_clock = cpu_clock
        self._group = group
        self._board = library.nvmlDeviceGetHandleByIndex(device.board.index)
        self._own = self._board
        if device.instance is not None:
            self._own = library.nvmlDeviceGetHandleByUUID(device.instance)
        self.absent: dict[str, str] = {}
        self.errors: dict[str, int] = {}
        self.last_error = ""
        self.facts = self._facts(device)
        self._queries = {
            "memory_used_bytes": self._memory_used,
            "group_memory_bytes": self._group_memory,
            "busy_percent": self._busy,
            "power_w": self._power,
            "energy_j": self._energy,
            "temperature_c": self._temperature,
            "sm_clock_mhz": self._sm_clock,
            "memory_clock_mhz": self._memory_clock,
            "throttle": self._throttle,
        }
        self.paces = {figure: Pace(QUERY_SHARE) for figure in self._queries}

    def read(self, at_s: float, *, everything: bool = True) -> DeviceReading:
        """One reading. None is what cannot be had and, unless it is to be `everything`, what is too dear by now."""
        wanted = [
            figure
            for figure in self._queries
            if everything or figure in ALWAYS or self.paces[figure].due(at_s)
        ]
        values, before = {}, self._cpu_clock()
        for figure in wanted:
            values[figure] = self._attempt(figure, self._queries[figure])
            after = self._cpu_clock()
            self.paces[figure].spent(at_s, after - before)
            before = after
        busy = values.pop("busy_percent", None)
        if busy is not None:
            values |= {"busy_percent": float(busy.gpu), "memory_busy_percent": float(busy.memory)}
        return DeviceReading(at_s, self.facts.index, **values)

    def _attempt(self, figure: str, query: Callable[[], Any]) -> Any:
        try:
            return query()
        except self._library.NVMLError as error:
            self.last_error = f"{figure}: {error}"
            if getattr(error, "value", None) in LASTING:
                self.absent[figure] = str(error)
                del self._queries[figure]
            else:
                self.errors[figure] = self.errors.get(figure, 0) + 1
            return None

    def _facts(self, device: Chosen) -> GpuFacts:
        library, handle = self._library, self._board
        limit = self._fact(lambda: library.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000)
        name = self._fact(lambda: text(library.nvmlDeviceGetName(self._own)))
        return GpuFacts(
            index=device.board.index,
            name=name or "a device that does not tell its name",
            uuid=device.instance or device.board.uuid,
            memory_bytes=self._fact(lambda: int(library.nvmlDeviceGetMemoryInfo(self._own).total)),
            bandwidth_bytes_s=None if device.instance else self._fact(self._bandwidth),
            power_limit_w=limit,
            mig=device.instance is not None,
        )

    def _fact(self, query: Callable[[], Any]) -> Any:
        try:
            return query()
        except self._library.NVMLError:
            return None

    def _bandwidth(self) -> float:
        """Bytes a second: two transfers a cycle of the memory clock, over the whole bus."""
        mhz = self._library.nvmlDeviceGetMaxClockInfo(self._board, self._library.NVML_CLOCK_MEM)
        bits = self._library.nvmlDeviceGetMemoryBusWidth(self._board)
        return 2e6 * int(mhz) * int(bits) / 8

    def _memory_used(self) -> int:
        return int(self._library.nvmlDeviceGetMemoryInfo(self._own).used)

    def _group_memory(self) -> int | None:
        listed = self._library.nvmlDeviceGetComputeRunningProcesses(self._own)
        ours = [process for process in listed if process.pid in self._group()]
        if any(process.usedGpuMemory is None for process in ours):
            self.absent["group_memory_bytes"] = "the driver does not tell memory by process"
            return None
        if not ours and listed:
            # In a container NVML may number processes as the host does.
            self.absent["group_memory_bytes"] = (
                "none of the device's processes has an id of the engine's group"
            )
            return None
        self.absent.pop("group_memory_bytes", None)
        return sum(int(process.usedGpuMemory) for process in ours) if ours else None

    def _busy(self) -> Any:
        return self._library.nvmlDeviceGetUtilizationRates(self._own)

    def _power(self) -> float:
        return float(self._library.nvmlDeviceGetPowerUsage(self._board)) / 1000

    def _energy(self) -> float:
        return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._board)) / 1000

    def _temperature(self) -> float:
        return float(self._library.nvmlDeviceGetTemperature(self._board, self._library.NVML_TEMPERATURE_GPU))

    def _sm_clock(self) -> float:
        return float(self._library.nvmlDeviceGetClockInfo(self._board, self._library.NVML_CLOCK_SM))

    def _memory_clock(self) -> float:
        return float(self._library.nvmlDeviceGetClockInfo(self._board, self._library.NVML_CLOCK_MEM))

    def _throttle(self) -> int:
        try:
            return int(self._library.nvmlDeviceGetCurrentClocksEventReasons(self._board))
        except self._library.NVMLError:  # drivers before 535 know it by its old name
            return int(self._library.nvmlDeviceGetCurrentClocksThrottleReasons(self._board))


def text(value: str | bytes) -> str:
    """Older releases of the module give bytes."""
    return value if isinstance(value, str) else value.decode(errors="replace")
