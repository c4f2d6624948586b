"""Readings of a phase → its figures, in constant memory however long it lasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pytest_llmeval.telemetry.readings import DeviceReading, HostReading, throttle_names

COUNTER: Literal["counter"] = "counter"
INTEGRATED: Literal["integrated power"] = "integrated power"
COUNTER_COVERAGE_NEEDED = 0.99  # of a phase; what lies outside is left out of its energy
COVERAGE_NEEDED = 0.9  # power known for less of a phase says nothing about the whole of it
AVERAGED = (
    "memory_used_bytes",
    "group_memory_bytes",
    "busy_percent",
    "memory_busy_percent",
    "power_w",
    "temperature_c",
    "sm_clock_mhz",
    "memory_clock_mhz",
)


@dataclass(frozen=True)
class DeviceFigures:
    """One device over one phase; None: not available.

    `energy_j` is the whole board's, idle power included: the difference of NVML's counter, or power integrated
    over time by trapezoids where there is no counter; `energy_source` says which. `throttled` is the share of
    readings in which a reason was set.
    """

    device: int
    readings: int = 0
    memory_peak_bytes: int | None = None
    group_memory_peak_bytes: int | None = None
    busy_percent: float | None = None
    memory_busy_percent: float | None = None
    power_mean_w: float | None = None
    power_peak_w: float | None = None
    energy_j: float | None = None
    energy_source: Literal["counter", "integrated power"] | None = None
    temperature_peak_c: float | None = None
    sm_clock_mean_mhz: float | None = None
    sm_clock_min_mhz: float | None = None
    memory_clock_mean_mhz: float | None = None
    throttled: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class HostFigures:
    """The engine's process group over one phase: peaks of memory, CPU seconds used."""

    rss_peak_bytes: int | None = None
    pss_peak_bytes: int | None = None
    cpu_s: float | None = None
    processes: int = 0


@dataclass(frozen=True)
class PhaseFigures:
    """All devices and the host over one phase. A phase that came several times is one, its times added up."""

    name: str
    seconds: float
    devices: tuple[DeviceFigures, ...] = ()
    host: HostFigures = HostFigures()

    @property
    def energy_j(self) -> float | None:
        """Of all devices; None where one of them does not tell."""
        return total(device.energy_j for device in self.devices)

    @property
    def energy_source(self) -> str | None:
        return " and ".join(sorted({d.energy_source for d in self.devices if d.energy_source})) or None

    @property
    def power_mean_w(self) -> float | None:
        return total(device.power_mean_w for device in self.devices)

    @property
    def busy_percent(self) -> float | None:
        """The mean over devices."""
        values = [device.busy_percent for device in self.devices]
        summed = total(values)
        return None if summed is None else summed / len(values)

    @property
    def device_memory_peak_bytes(self) -> int | None:
        peak = total(device.memory_peak_bytes for device in self.devices)
        return None if peak is None else int(peak)


def total(values: Iterable[float | None]) -> float | None:
    """The sum; None where there is nothing, or one is not known."""
    every = list(values)
    known = [value for value in every if value is not None]
    return sum(known) if every and len(known) == len(every) else None


class Mean:
    """A running mean and its extremes."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0.0
        self.largest: float | None = None
        self.smallest: float | None = None

    def add(self, value: float | None) -> None:
        if value is None:
            return
        self.count += 1
        self._sum += value
        self.largest = value if self.largest is None else max(self.largest, value)
        self.smallest = value if self.smallest is None else min(self.smallest, value)

    @property
    def value(self) -> float | None:
        return self._sum / self.count if self.count else None


class Energy:
    """Energy of one device over a phase, by counter and by power; a gap between two visits counts for nothing.

    The counter is dear and not read each time: it counts where its first and last value span the phase.
    """

    def __init__(self) -> None:
        self._counted_j: float | None = None
        self._counted_s = 0.0
        self._integrated_j = 0.0
        self._covered_s = 0.0
        self._seconds = 0.0
        self._counter_failed = False
        self._last: DeviceReading | None = None
        self._counted: DeviceReading | None = None  # the last that had the counter

    def pause(self) -> None:
        """The phase ends; the next reading, if there is one, begins another visit."""
        self._last = self._counted = None

    def add(self, reading: DeviceReading) -> None:
        if self._last is not None:
            self._integrate(self._last, reading)
        if reading.energy_j is not None:
            self._count(reading, reading.energy_j)
        self._last = reading

    def _integrate(self, before: DeviceReading, after: DeviceReading) -> None:
        seconds = after.at_s - before.at_s
        self._seconds += seconds
        if before.power_w is not None and after.power_w is not None:
            self._integrated_j += seconds * (before.power_w + after.power_w) / 2
            self._covered_s += seconds

    def _count(self, reading: DeviceReading, energy_j: float) -> None:
        if self._counted is not None:
            gained = energy_j - (self._counted.energy_j or 0.0)
            self._counter_failed = self._counter_failed or gained < 0  # the driver was reloaded
            self._counted_j = (self._counted_j or 0.0) + gained
            self._counted_s += reading.at_s - self._counted.at_s
        self._counted = reading

    def result(self) -> tuple[float, Literal["counter", "integrated power"]] | tuple[None, None]:
        spans = self._counted_s >= COUNTER_COVERAGE_NEEDED * self._seconds
        if self._counted_j is not None and not self._counter_failed and spans:
            return self._counted_j, COUNTER
        if self._seconds and self._covered_s >= COVERAGE_NEEDED * self._seconds:
            return self._integrated_j, INTEGRATED
        return None, None


class DeviceTally:
    """Collects one device's readings of a phase."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._readings = 0
        self._means = {name: Mean() for name in AVERAGED}
        self._throttle: Counter[str] = Counter()
        self._throttle_readings = 0
        self.energy = Energy()

    def add(self, reading: DeviceReading) -> None:
        self._readings += 1
        for name, mean in self._means.items():
            mean.add(getattr(reading, name))
        self.energy.add(reading)
        if reading.throttle is not None:
            self._throttle_readings += 1
            self._throttle.update(throttle_names(reading.throttle))

    def figures(self) -> DeviceFigures:
        means = self._means
        energy_j, source = self.energy.result()
        return DeviceFigures(
            device=self._device,
            readings=self._readings,
            memory_peak_bytes=_whole(means["memory_used_bytes"].largest),
            group_memory_peak_bytes=_whole(means["group_memory_bytes"].largest),
            busy_percent=means["busy_percent"].value,
            memory_busy_percent=means["memory_busy_percent"].value,
            power_mean_w=means["power_w"].value,
            power_peak_w=means["power_w"].largest,
            energy_j=energy_j,
            energy_source=source,
            temperature_peak_c=means["temperature_c"].largest,
            sm_clock_mean_mhz=means["sm_clock_mhz"].value,
            sm_clock_min_mhz=means["sm_clock_mhz"].smallest,
            memory_clock_mean_mhz=means["memory_clock_mhz"].value,
            throttled={name: count / self._throttle_readings for name, count in self._throttle.items()},
        )


class HostTally:
    """Collects the process group's readings of a phase."""

    def __init__(self) -> None:
        self._rss = Mean()
        self._pss = Mean()
        self._processes = 0
        self._cpu_s: float | None = None
        self._cpu_at_s: float | None = None

    def pause(self) -> None:
        self._cpu_at_s = None

    def add(self, reading: HostReading) -> None:
        self._rss.add(reading.rss_bytes)
        self._pss.add(reading.pss_bytes)
        self._processes = max(self._processes, reading.processes)
        if reading.cpu_s is not None:
            if self._cpu_at_s is not None:
                self._cpu_s = (self._cpu_s or 0.0) + reading.cpu_s - self._cpu_at_s
            self._cpu_at_s = reading.cpu_s

    def figures(self) -> HostFigures:
        return HostFigures(_whole(self._rss.largest), _whole(self._pss.largest), self._cpu_s, self._processes)


class PhaseTally:
    """Collects everything read while a phase lasts."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seconds = 0.0
        self._devices: dict[int, DeviceTally] = {}
        self._host = HostTally()

    def add(self, reading: DeviceReading | HostReading) -> None:
        if isinstance(reading, HostReading):
            self._host.add(reading)
        else:
            self._devices.setdefault(reading.device, DeviceTally(reading.device)).add(reading)

    def pause(self, seconds: float) -> None:
        """The phase ends after `seconds`; it may come again."""
        self._seconds += seconds
        self._host.pause()
        for device in self._devices.values():
            device.energy.pause()

    def figures(self) -> PhaseFigures:
        devices = tuple(self._devices[index].figures() for index in sorted(self._devices))
        return PhaseFigures(self._name, self._seconds, devices, self._host.figures())


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
