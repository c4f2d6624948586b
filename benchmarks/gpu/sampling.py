"""The part `sampler`: our sampler against loads of known bytes and operations, and what it costs itself."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from loads import Done, Loads
from page import Page, shown

from pytest_llmeval.telemetry.figures import DeviceFigures, PhaseFigures
from pytest_llmeval.telemetry.nvml import Gpu, NoDevices, Nvml
from pytest_llmeval.telemetry.watch import ModelTelemetry, Target, Watch
from pytest_llmeval.units import GIB

LONG_S = 12.0  # as long as a short batch: the ends of phases weigh as in a real run
PAIRS = 3


def this_process() -> Target:
    return Target("torch", lambda: os.getpgid(0), os.environ.get("CUDA_VISIBLE_DEVICES"))


def first_gpu() -> Gpu | None:
    try:
        return Nvml().devices(os.environ.get("CUDA_VISIBLE_DEVICES"), 1, lambda: {os.getpid()})[0]
    except NoDevices:
        return None


def sampler_part(page: Page, loads: Loads, folder: Path) -> None:
    page.say("## The sampler against known loads")
    gpu = first_gpu()
    if gpu is None:
        page.say("NVML shows no device: only the host is watched.")
    watch = Watch(this_process(), folder / "sampler.jsonl", rate_hz=10)
    done: dict[str, Done] = {}
    work: dict[str, Callable[[], Done]] = {
        "idle": loads.idle,
        "copy": loads.copy,
        "multiply": loads.multiply,
        "half busy": loads.half_busy,
        "one thread": loads.one_multiprocessor,
    }
    for name, load in work.items():
        loads.wait()
        with watch.phase(name):
            done[name] = load()
    telemetry = watch.close()
    page.table("loads", LOAD_HEADINGS, (load_row(telemetry, name, done[name]) for name in work))
    page.say(f"Not available: {json.dumps(dict(telemetry.why)) if telemetry.why else 'nothing'}.")
    page.data["telemetry"] = dataclasses.asdict(telemetry)
    costs_of_sampling(page, loads, folder, telemetry.sampler_share)
    energy_both_ways(page, folder / "sampler.jsonl")
    memory_row(page, loads, folder)
    if gpu:
        query_costs(page, gpu)
    disturbance(page, loads, folder)


LOAD_HEADINGS = (
    *("load", "seconds", "did", "busy", "memory busy", "power, mean", "power, peak", "energy", "by"),
    *("SM clock", "hottest", "throttled"),
)


def load_row(telemetry: ModelTelemetry, name: str, done: Done) -> list[str]:
    phase = telemetry.phase(name)
    device = phase.devices[0] if phase and phase.devices else DeviceFigures(0)
    rate = {"copy": (1e9, "GB/s"), "multiply": (1e12, "TFLOP/s")}.get(name)
    did = shown(done.rate / rate[0], rate[1]) if rate else "–"
    throttled = ", ".join(f"{why} {100 * share:.0f} %" for why, share in device.throttled.items())
    return [
        name,
        shown(done.seconds),
        did,
        shown(device.busy_percent, "%", 0),
        shown(device.memory_busy_percent, "%", 0),
        shown(device.power_mean_w, "W", 0),
        shown(device.power_peak_w, "W", 0),
        shown(device.energy_j, "J", 0),
        device.energy_source or "–",
        shown(device.sm_clock_mean_mhz, "MHz", 0),
        shown(device.temperature_peak_c, "°C", 0),
        throttled or "no",
    ]


def costs_of_sampling(page: Page, loads: Loads, folder: Path, short: float | None) -> None:
    """What the sampler itself uses, at its default rate, in one long phase."""
    watch = Watch(this_process(), folder / "costs.jsonl", rate_hz=10)
    with watch.phase("multiply"):
        loads.multiply(LONG_S if loads.device == "cuda" else 1.0)
    found = watch.close()
    page.say(
        f"**Sampling at {found.rate_hz:g} Hz used {shown(100 * (found.sampler_share or 0), '%', 3)} of a core** "
        f"(in phases of {loads.sizes.seconds:g} s, whose ends weigh more: {shown(100 * (short or 0), '%', 3)}). "
        "By figure, as telemetry states it:"
    )
    costs = sorted(found.reading_costs.items(), key=lambda item: -item[1].per_s * item[1].cpu_s)
    rows = (
        [
            name,
            str(cost.times),
            shown(cost.per_s, digits=2),
            shown(1e6 * cost.cpu_s, "µs", 0),
            shown(100 * cost.per_s * cost.cpu_s, "%", 3),
        ]
        for name, cost in costs
    )
    page.table("sampling", ("figure", "read", "a second", "CPU time of one", "of a core"), rows)


def energy_both_ways(page: Page, path: Path) -> None:
    """The counter against integrated power, over the same readings."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    readings = [line for line in lines if line["type"] == "device"]

    def rows() -> Iterator[list[str]]:
        for phase in (line for line in lines if line["type"] == "phase"):
            inside = [r for r in readings if phase["from_s"] <= r["at_s"] <= phase["to_s"]]
            ends_counted = len(inside) >= 2 and all("energy_j" in r for r in (inside[0], inside[-1]))
            if not ends_counted or any("power_w" not in r for r in inside):
                continue
            counted = inside[-1]["energy_j"] - inside[0]["energy_j"]
            pairs = list(itertools.pairwise(inside))
            summed = sum((b["at_s"] - a["at_s"]) * (a["power_w"] + b["power_w"]) / 2 for a, b in pairs)
            ratio = shown(counted / summed, digits=3) if summed else "–"
            yield [phase["name"], shown(counted, "J"), shown(summed, "J"), ratio]

    page.say("Energy by the driver's counter and by integrating sampled power:")
    page.table("energy", ("load", "counter", "integrated", "ratio"), rows())


def memory_row(page: Page, loads: Loads, folder: Path) -> None:
    """Known bytes held by torch, as NVML sees them: on the device, and in our process group."""
    loads.multiply(0.2)  # the context and the libraries' workspaces exist from now on
    watch = Watch(this_process(), folder / "memory.jsonl")
    with watch.phase("before"):
        time.sleep(0.3)
    with watch.phase("held"):
        held = loads.hold()
        loads.wait()
        time.sleep(0.3)
    telemetry = watch.close()
    before, after = telemetry.phase("before"), telemetry.phase("held")
    page.say(f"Memory: torch holds {held.numel() / GIB:.3f} GiB more.")
    rows = [
        ["device", *grown(before, after, "memory_peak_bytes")],
        ["our process group", *grown(before, after, "group_memory_peak_bytes")],
    ]
    page.table("memory", ("seen by NVML", "before, GiB", "held, GiB", "difference, GiB"), rows)
    for figure in ("memory_used_bytes", "group_memory_bytes"):
        if figure in telemetry.why:
            page.say(f"{figure}: not available: {telemetry.why[figure]}")


def grown(before: PhaseFigures | None, after: PhaseFigures | None, name: str) -> list[str]:
    values = [getattr(p.devices[0], name) if p and p.devices else None for p in (before, after)]
    first, second = values
    known = None if first is None or second is None else (second - first) / GIB
    gib = [None if value is None else value / GIB for value in values]
    return [shown(gib[0], digits=3), shown(gib[1], digits=3), shown(known, digits=3)]


def query_costs(page: Page, gpu: Gpu) -> None:
    def rows() -> Iterator[list[str]]:
        for figure, query in list(gpu._queries.items()):
            spent = []
            for _ in range(100):
                started = time.perf_counter()
                gpu._attempt(figure, query)
                spent.append(1e6 * (time.perf_counter() - started))
            yield [figure, shown(statistics.median(spent), "µs", 0), shown(max(spent), "µs", 0)]

    page.say("What one NVML query costs (100 times each):")
    page.table("queries", ("query", "median", "longest"), rows())
    if gpu.absent:
        page.say(f"Refused: {json.dumps(gpu.absent)}")


def disturbance(page: Page, loads: Loads, folder: Path) -> None:
    """The same load with and without the sampler, in turn."""
    ratios = []
    for number in range(PAIRS):
        without = loads.multiply(1.0).rate
        watch = Watch(this_process(), folder / f"disturb{number}.jsonl")
        sampled = loads.multiply(1.0).rate
        watch.close()
        ratios.append(sampled / without)
    shares = ", ".join(f"{ratio:.4f}" for ratio in ratios)
    page.say(
        f"Speed with the sampler over speed without, {PAIRS} pairs: {shares}; median {statistics.median(ratios):.4f}."
    )
    page.data["disturbance"] = ratios
