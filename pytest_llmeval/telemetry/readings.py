"""What one look at a device, or at an engine's processes, can tell. None: not available, never zero."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """One device at one moment, `at_s` by the sampler's clock.

    `busy_percent` is NVML's: the share of its last sampling period (1 s or less) in which a kernel ran, however
    few of the multiprocessors it used. `memory_busy_percent`: in which device memory was read or written.
    `group_memory_bytes` is what the engine's process group holds of `memory_used_bytes`. `energy_j` counts since
    the driver was loaded, for the whole board; `power_w` is the board's too.
    """

    at_s: float
    device: int
    memory_used_bytes: int | None = None
    group_memory_bytes: int | None = None
    busy_percent: float | None = None
    memory_busy_percent: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle: int | None = None  # NVML's bit mask of clock event reasons


@dataclass(frozen=True, slots=True)
class HostReading:
    """The engine's process group at one moment: sums over its processes.

    `rss_bytes` counts pages that processes share once for each; `pss_bytes` divides them, and is read rarely
    because the kernel walks all page tables for it. `cpu_s` is what they have used since they started.
    """

    at_s: float
    processes: int
    rss_bytes: int | None = None
    pss_bytes: int | None = None
    cpu_s: float | None = None


# NVML's clock event reasons, in its own order of bits (nvml.h, nvmlClocksEventReasons).
THROTTLE_REASONS = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "thermal, by software",
    0x040: "thermal, by hardware",
    0x080: "power brake",
    0x100: "display clocks",
}
IDLE = 0x001


def throttle_names(mask: int) -> tuple[str, ...]:
    """The reasons in a bit mask, less idling, which is no throttling; unknown bits by number."""
    bits = [1 << place for place in range(mask.bit_length()) if mask & (1 << place)]
    return tuple(THROTTLE_REASONS.get(bit, f"reason {bit:#x}") for bit in bits if bit != IDLE)
