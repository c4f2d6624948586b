"""Telemetry and serving figures on a machine with an NVIDIA GPU, against loads of known bytes and operations.

    python benchmarks/gpu/run.py                 # from the checkout; all parts, about a minute
    python benchmarks/gpu/run.py --parts sampler,limits
    python benchmarks/gpu/run.py --out DIR       # also DIR/gpu.md and DIR/gpu.json
    python benchmarks/gpu/run.py --rehearse      # small sizes on a CPU: checks this program, measures nothing

Needs the checkout, torch, nvidia-ml-py, psutil and pydantic. Parts:

* `sampler`: device memory, utilisation, power, energy and clocks as our sampler sees them, while torch holds,
  copies and multiplies what is known; what each NVML query and the whole sampler cost; whether sampling slows
  the device down.
* `limits`: the memory-bandwidth limit of single-stream decoding for the five coding models of models.toml, by
  data sheet and measured by reading as many bytes as one token of theirs needs.

How fast an engine serves such a shape, without its weights, is a registry entry with `load_format = "dummy"` and
`pytest suites/serving`: docs/gpu.md shows one.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from loads import Done, Loads, Sizes  # noqa: E402  (the checkout need not be installed)

from pytest_llmeval.telemetry.figures import DeviceFigures, PhaseFigures  # noqa: E402
from pytest_llmeval.telemetry.nvml import Gpu, NoDevices, Nvml  # noqa: E402
from pytest_llmeval.telemetry.roofline import Bandwidth, bandwidth_of, shape_of  # noqa: E402
from pytest_llmeval.telemetry.watch import ModelTelemetry, Target, Watch  # noqa: E402

GIB = 1 << 30
PARTS = ("sampler", "limits")
BYTES_PER_WEIGHT = 2  # bfloat16


class Page:
    """Markdown on the terminal as it comes into being, and everything again as data."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.data: dict[str, Any] = {}

    def say(self, line: str = "") -> None:
        self.lines.append(line)
        print(line, flush=True)

    def table(self, name: str, headings: Sequence[str], rows: Iterator[Sequence[str]] | list[Any]) -> None:
        every = [list(row) for row in rows]
        self.data[name] = [dict(zip(headings, row, strict=True)) for row in every]
        self.say()
        self.say("| " + " | ".join(headings) + " |")
        self.say("|" + " --- |" * len(headings))
        for row in every:
            self.say("| " + " | ".join(row) + " |")
        self.say()


def shown(value: float | None, unit: str = "", digits: int = 1) -> str:
    return "not available" if value is None else f"{value:,.{digits}f} {unit}".strip()


# ----------------------------------------------------------------------------------------------- sampler


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
    page.say(
        f"Sampling at {telemetry.rate_hz:g} Hz used {shown(100 * (telemetry.sampler_share or 0), '%', 3)} of a core."
    )
    page.data["telemetry"] = dataclasses.asdict(telemetry)
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
    for number in range(5):
        without = loads.multiply(1.0).rate
        watch = Watch(this_process(), folder / f"disturb{number}.jsonl")
        sampled = loads.multiply(1.0).rate
        watch.close()
        ratios.append(sampled / without)
    shares = ", ".join(f"{ratio:.4f}" for ratio in ratios)
    page.say(
        f"Speed with the sampler over speed without, five pairs: {shares}; median {statistics.median(ratios):.4f}."
    )
    page.data["disturbance"] = ratios


# ------------------------------------------------------------------------------------------------ limits


def limits_part(page: Page, loads: Loads) -> None:
    page.say("## Single-stream limit by memory bandwidth")
    bandwidth = device_bandwidth()
    by = f"{bandwidth.bytes_s / 1e9:,.0f} GB/s ({bandwidth.source})" if bandwidth else "not available"
    page.say(f"Memory bandwidth: {by}. Weights in bfloat16, no context, batch of one.")

    def rows() -> Iterator[list[str]]:
        for path in sorted((HERE / "configs").glob("*.json")):
            shape = shape_of(json.loads(path.read_text()))
            assert shape is not None
            read = shape.active * BYTES_PER_WEIGHT
            done = loads.read_weights(read if loads.device == "cuda" else 1 << 22)
            limit = bandwidth.bytes_s / read if bandwidth else None
            yield [
                path.stem,
                shown(shape.parameters / 1e9, "B", 2),
                shown(read / 1e9, "GB", 2),
                shown(limit, "tok/s", 0),
                shown(done.rate / read, "tok/s", 0),
                shown(100 * done.rate / bandwidth.bytes_s if bandwidth else None, "%", 0),
            ]

    headings = ("model", "parameters", "read per token", "limit", "measured by reading", "of the bandwidth")
    page.table("limits", headings, rows())


# ------------------------------------------------------------------------------------------------- set-up


def this_process() -> Target:
    return Target("torch", lambda: os.getpgid(0), os.environ.get("CUDA_VISIBLE_DEVICES"))


def first_gpu() -> Gpu | None:
    try:
        return Nvml().devices(os.environ.get("CUDA_VISIBLE_DEVICES"), 1, lambda: {os.getpid()})[0]
    except NoDevices:
        return None


def device_bandwidth() -> Bandwidth | None:
    gpu = first_gpu()
    return bandwidth_of(gpu.facts.name, gpu.facts.bandwidth_bytes_s) if gpu else None


def introduce(page: Page, rehearsal: bool) -> None:
    import torch

    gpu = first_gpu()
    page.say(f"# GPU benchmark, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    if rehearsal:
        page.say("**A rehearsal on a CPU: no figure below means anything.**")
    device = gpu.facts.name if gpu else "no NVIDIA device"
    driver = Nvml().driver() if gpu else None
    page.say(
        f"{device}, driver {driver}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, vLLM {'installed' if has_vllm() else 'not installed'}."
    )
    if gpu:
        page.data["device"] = dataclasses.asdict(gpu.facts)
        clocks = shown((gpu.facts.bandwidth_bytes_s or 0) / 1e9 or None, "GB/s", 0)
        page.say(
            f"By memory clock × bus width: {clocks}; power limit {shown(gpu.facts.power_limit_w, 'W', 0)}."
        )
    page.say()


def has_vllm() -> bool:
    return importlib.util.find_spec("vllm") is not None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated, of: " + ", ".join(PARTS))
    parser.add_argument("--out", type=Path, help="a folder for gpu.md and gpu.json")
    parser.add_argument("--rehearse", action="store_true", help="small sizes on a CPU")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    page = Page()
    introduce(page, arguments.rehearse)
    loads = Loads("cpu", Sizes.rehearsal()) if arguments.rehearse else Loads("cuda", Sizes.real())
    with tempfile.TemporaryDirectory() as folder:
        if "sampler" in parts:
            sampler_part(page, loads, Path(folder))
        if "limits" in parts:
            limits_part(page, loads)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "gpu.md").write_text("\n".join(page.lines) + "\n")
        (arguments.out / "gpu.json").write_text(json.dumps(page.data, indent=1, default=str) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
