"""Telemetry of one model: readings given to the phase that is current, and written down as they come."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pytest_llmeval.telemetry.figures import PhaseFigures, PhaseTally
from pytest_llmeval.telemetry.host import HostGroup
from pytest_llmeval.telemetry.nvml import Gpu, GpuFacts, NoDevices, Nvml
from pytest_llmeval.telemetry.pace import ReadingCost, cost_of
from pytest_llmeval.telemetry.readings import DeviceReading, HostReading
from pytest_llmeval.telemetry.sampler import Sampler

DEFAULT_RATE_HZ = 10.0
ROUND, END = "a round", "the end of a phase"
ELSEWHERE = "the model is served by a process or machine that is not this run's"
OWN_PROCESS = "the engine has no process of its own"


@dataclass(frozen=True)
class ModelTelemetry:
    """What was seen of one model. `why` says of each figure that is not available for what reason.

    Its keys are fields of DeviceReading, or `device` and `host` where nothing of these could be read.
    `rate_hz` is the rate that was asked for; what would cost too much is read more rarely, and `reading_costs` tells
    for each figure how often it was read and what that took: the same keys, `host`, `host with PSS`; `a round` and
    `the end of a phase` are all of it, with writing it down. `sampler_share` is what they cost together, in cores.
    """

    rate_hz: float
    devices: tuple[GpuFacts, ...] = ()
    driver: str | None = None
    phases: tuple[PhaseFigures, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    sampler_share: float | None = None
    reading_costs: Mapping[str, ReadingCost] = field(default_factory=dict)
    output_tokens: int = 0  # of the phase `batch`

    def phase(self, name: str) -> PhaseFigures | None:
        return next((phase for phase in self.phases if phase.name == name), None)

    @property
    def memory_peak_bytes(self) -> int | None:
        """The most that all devices together held in any phase; under vLLM mostly what it reserved."""
        return max((p for phase in self.phases if (p := phase.device_memory_peak_bytes)), default=None)

    @property
    def host_memory_peak_bytes(self) -> int | None:
        """Host memory of the engine's process group at its peak: PSS would be less, and is read rarely."""
        return max((p for phase in self.phases if (p := phase.host.rss_peak_bytes)), default=None)


@dataclass(frozen=True)
class Target:
    """What is to be watched: the engine's process group and the devices it may use.

    `group` gives the group's id, which changes when an engine is started again. None where the engine has no
    processes of its own; `absent` then says why.
    """

    model: str
    group: Callable[[], int] | None
    visible: str | None  # CUDA_VISIBLE_DEVICES of the engine
    device_count: int = 1
    absent: str = OWN_PROCESS


class Watch:
    """Watches one model from before it loads until `close()`, in phases. Readings between phases are written only.

    Lines of `path`: one `start`, then `device`, `host`, `phase` and `item` as they come, one `end`; times are
    seconds since the start.
    """

    def __init__(
        self,
        target: Target,
        path: Path,
        *,
        rate_hz: float = DEFAULT_RATE_HZ,
        open_nvml: Callable[[], Nvml] = Nvml,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._rate_hz = rate_hz
        self._started_at = clock()
        self._lock = threading.RLock()
        self._tallies: dict[str, PhaseTally] = {}
        self._current: PhaseTally | None = None
        self._phase_began: tuple[str, float] | None = None
        self._output_tokens = 0
        self._host = None if target.group is None else HostGroup(target.group)
        self._why: dict[str, str] = {} if self._host else {"host": target.absent}
        self._nvml: Nvml | None = None
        self._gpus = self._open_devices(target, open_nvml)
        self._path = path
        self._file: IO[str] | None = None
        with self._full_disk_noted():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="ascii")
        self._write("start", **self._describe(target))
        self._sampler = Sampler(self._gpus, self._host, self._take, rate_hz=rate_hz, clock=clock)
        self._sampler.start()

    def _open_devices(self, target: Target, open_nvml: Callable[[], Nvml]) -> Sequence[Gpu]:
        if target.group is None:
            self._why["device"] = target.absent
            return ()
        try:
            self._nvml = open_nvml()
            host = self._host
            group: Callable[[], set[int]] = host.ids if host else set
            return self._nvml.devices(target.visible, target.device_count, group)
        except NoDevices as reason:
            self._why["device"] = str(reason)
            return ()

    def _describe(self, target: Target) -> dict[str, Any]:
        return {
            "model": target.model,
            "wall_clock_s": time.time(),
            "rate_hz": self._rate_hz,
            "driver": self._nvml.driver() if self._nvml else None,
            "devices": [dataclasses.asdict(gpu.facts) for gpu in self._gpus],
            "not_available": self._why,
        }

    @property
    def devices(self) -> tuple[GpuFacts, ...]:
        """The devices that are watched."""
        return tuple(gpu.facts for gpu in self._gpus)

    # ------------------------------------------------------------------------------------------- phases

    def enter(self, name: str | None) -> None:
        """End the current phase and begin another, or none. The moment between them is read for both."""
        self._sampler.sample(with_pss=self._phase_began is not None)
        with self._lock:
            now = self._clock()
            if self._current and self._phase_began:
                old, began = self._phase_began
                self._current.pause(now - began)
                self._write("phase", name=old, from_s=began - self._started_at, to_s=now - self._started_at)
            self._current = self._tallies.setdefault(name, PhaseTally(name)) if name else None
            self._phase_began = (name, now) if name else None
        if name:
            self._sampler.sample()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """The phase `name`, as long as the block lasts."""
        self.enter(name)
        try:
            yield
        finally:
            self.enter(None)

    def item(self, names: Mapping[str, Any], seconds: float | None, tokens: int | None) -> None:
        """Note that an item's answer has come, after `seconds` with the engine: the window of its readings."""
        now = self._clock() - self._started_at
        window = {} if seconds is None else {"from_s": now - seconds}
        with self._lock:
            self._output_tokens += tokens or 0
            self._write("item", **names, **window, to_s=now)

    def figures(self, name: str) -> PhaseFigures | None:
        """The figures of a phase that has ended."""
        with self._lock:
            return self._tallies[name].figures() if name in self._tallies else None

    def close(self) -> ModelTelemetry:
        """Stop sampling, finish the file, let the driver go."""
        if self._phase_began:
            self.enter(None)
        self._sampler.stop()
        result = self._result()
        costs = {name: dataclasses.asdict(cost) for name, cost in result.reading_costs.items()}
        share = {"sampler_share": result.sampler_share, "reading_costs": costs}
        self._write("end", not_available=result.why, errors=result.errors, **share)
        with self._lock, self._full_disk_noted():  # an answer may come still, and be noted
            if self._file is not None:
                self._file.close()
        if self._nvml:
            self._nvml.close()
        return dataclasses.replace(result, why=self._reasons())

    def _result(self) -> ModelTelemetry:
        seconds = self._clock() - self._started_at
        errors: Counter[str] = Counter()
        for gpu in self._gpus:
            errors.update(gpu.errors)
        return ModelTelemetry(
            rate_hz=self._rate_hz,
            devices=tuple(gpu.facts for gpu in self._gpus),
            driver=self._nvml.driver() if self._nvml else None,
            phases=tuple(tally.figures() for tally in self._tallies.values()),
            why=self._reasons(),
            errors=dict(errors),
            sampler_share=self._sampler.cpu_s / seconds if seconds else None,
            reading_costs=self._reading_costs(seconds),
            output_tokens=self._output_tokens,
        )

    def _reading_costs(self, seconds: float) -> dict[str, ReadingCost]:
        paces = {ROUND: [self._sampler.rounds], END: [self._sampler.ends]}
        if self._host:
            paces |= {"host": [self._sampler.hosting], "host with PSS": [self._sampler.with_pss]}
        for gpu in self._gpus:
            for figure, pace in gpu.paces.items():
                paces.setdefault(figure, []).append(pace)
        return {name: cost_of(each, seconds) for name, each in paces.items() if each}

    def _reasons(self) -> dict[str, str]:
        why, failed, last = dict(self._why), 0, ""
        for gpu in self._gpus:
            why |= gpu.absent
            if gpu.errors:
                failed, last = failed + sum(gpu.errors.values()), gpu.last_error
        if failed:
            why["errors"] = f"{failed} quer{'y' if failed == 1 else 'ies'} failed; the last: {last}"
        if self._sampler.failures:
            why["sampler"] = "; ".join(self._sampler.failures)
        return why

    # ------------------------------------------------------------------------------------------ readings

    def _take(self, reading: DeviceReading | HostReading) -> None:
        with self._lock:
            if self._current:
                self._current.add(reading)
            known = {k: v for k in type(reading).__slots__ if (v := getattr(reading, k)) is not None}
            known["at_s"] = reading.at_s - self._started_at
            self._write("host" if isinstance(reading, HostReading) else "device", **known)

    def _write(self, kind: str, **values: Any) -> None:
        line = _ENCODER.encode({"type": kind, **_rounded(values)})
        with self._lock:
            if self._file is None or self._file.closed:
                return
            with self._full_disk_noted():
                self._file.write(f"{line}\n")

    @contextlib.contextmanager
    def _full_disk_noted(self) -> Iterator[None]:
        """A full disk costs the readings, not the run."""
        try:
            yield
        except OSError as error:
            self._why["file"] = f"readings are missing in {self._path}: {error.strerror}"


_ENCODER = json.JSONEncoder(allow_nan=False)  # json.dumps would make one for each line


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Times to the microsecond: more digits would be noise, and most of the file."""
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}
