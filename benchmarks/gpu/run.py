"""What can be measured on a machine with an NVIDIA GPU, in one command of at most eight minutes.

    python benchmarks/gpu/run.py --out DIR        # all parts; DIR/gpu.md, DIR/gpu.json and the run's own reports
    python benchmarks/gpu/run.py --parts sampler,limits
    python benchmarks/gpu/run.py --parts models,raw --models codestral_22b,qwen3_8b --budget-s 560
    python benchmarks/gpu/run.py --rehearse       # small sizes on a CPU: checks this program, measures nothing

Nothing is fetched, and the checkout need not be installed: a PYTHONPATH with what it depends on is enough. Parts:

* `sampler` (torch): device memory, utilisation, power, energy and clocks as our sampler sees them, while torch holds,
  copies and multiplies what is known; what each query and the whole sampler cost in shares of a core; whether
  sampling slows the device down.
* `limits` (torch): the memory-bandwidth limit of single-stream decoding for the five coding models of models.toml,
  by data sheet and measured by reading as many bytes as one token of theirs needs.
* `models` (vLLM): checkpoints with the real shapes of those models and random weights, quantised where the registered
  ones are, those that fit the device: one run of pytest over all of them, and its reference table. `--models` also
  knows them in other precisions.
* `raw` (vLLM): the same checkpoints and prompts in vllm.LLM, nothing of this package beside it, and the ratio.

By default vLLM does not compile and captures graphs of decoding alone, on both sides: `--compile` takes its own
choice, at half a minute more a load. What the time did not allow is said to be not run.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from checkpoints import checkpoints, names  # noqa: E402  (the checkout need not be installed)
from page import Page, shown  # noqa: E402
from sampling import first_gpu  # noqa: E402

from pytest_llmeval.telemetry.nvml import GpuFacts, Nvml  # noqa: E402

TORCH_PARTS, ENGINE_PARTS = ("sampler", "limits"), ("models", "raw")
PARTS = (*TORCH_PARTS, *ENGINE_PARTS)
BUDGET_S = 470.0
RAW_SHARE = 0.3  # of the time that is left when engines begin


def introduce(page: Page, device: GpuFacts | None, rehearsal: bool) -> None:
    page.say(f"# GPU benchmark, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    if rehearsal:
        page.say("**A rehearsal on a CPU: no figure below means anything.**")
    driver = Nvml().driver() if device else None
    packages = ", ".join(
        f"{name} {_version(name)}" for name in ("torch", "vllm", "transformers", "nvidia-ml-py")
    )
    page.say(
        f"{device.name if device else 'no NVIDIA device'}, driver {driver}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {packages}."
    )
    if device:
        page.data["device"] = dataclasses.asdict(device)
        clocks = shown((device.bandwidth_bytes_s or 0) / 1e9 or None, "GB/s", 0)
        page.say(f"By memory clock × bus width: {clocks}; power limit {shown(device.power_limit_w, 'W', 0)}.")
    page.say()


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "without a version" if find_spec(package) else "not installed"


def torch_parts(page: Page, parts: list[str], folder: Path, rehearsal: bool) -> None:
    """In a child, so that its device memory is gone before an engine loads; what it said is taken over."""
    left = folder / "torch"
    command = [sys.executable, str(HERE / "torch_parts.py"), f"--parts={','.join(parts)}", f"--out={left}"]
    done = subprocess.run([*command, *(["--rehearse"] if rehearsal else [])], check=False)
    if (left / "gpu.md").is_file():
        page.adopt(left)
    if done.returncode:
        page.say(f"The torch parts ended with exit status {done.returncode}.")


def engine_parts(page: Page, parts: list[str], folder: Path, chosen: argparse.Namespace) -> None:
    if find_spec("vllm") is None:
        page.say("vLLM is not installed: the parts models and raw are not run.")
        return
    from engines import Bench, models_part, raw_part

    found = checkpoints(
        folder / "checkpoints", chosen.models, rehearsal=chosen.rehearse, compiled=chosen.compile
    )
    device = first_gpu()
    memory_bytes = device.facts.memory_bytes if device and not chosen.rehearse else None
    bench = Bench(page, found, folder, memory_bytes, chosen.rehearse)
    if not chosen.compile:
        page.say(
            "vLLM without compilation, graphs of decoding alone, on both sides (--compile: vLLM's own choice)."
        )
    run = (
        models_part(bench, RAW_SHARE * page.left_s if "raw" in parts else 0.0) if "models" in parts else None
    )
    page.save()
    if "raw" in parts:
        raw_part(bench, run)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated, of: " + ", ".join(PARTS))
    parser.add_argument(
        "--models",
        type=lambda text: text.split(","),
        help="comma-separated, of: " + ", ".join(names()) + "; default: those as registered that fit",
    )
    parser.add_argument("--budget-s", type=float, default=BUDGET_S, help="seconds that the whole may take")
    parser.add_argument("--out", type=Path, help="a folder for gpu.md, gpu.json and the run's reports")
    parser.add_argument("--compile", action="store_true", help="vLLM's own choice of compilation and graphs")
    parser.add_argument("--rehearse", action="store_true", help="small sizes on a CPU")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts.split(",")) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if unknown := set(chosen.models or ()) - set(names()):
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    return chosen


def main() -> int:
    chosen = parsed()
    parts = [part for part in PARTS if part in chosen.parts.split(",")]
    page = Page(chosen.budget_s, chosen.out)
    device = first_gpu()
    introduce(page, device.facts if device else None, chosen.rehearse)
    with tempfile.TemporaryDirectory() as folder:
        if of_torch := [part for part in parts if part in TORCH_PARTS]:
            torch_parts(page, of_torch, Path(folder), chosen.rehearse)
            page.save()
        if of_engines := [part for part in parts if part in ENGINE_PARTS]:
            engine_parts(page, of_engines, Path(folder), chosen)
    page.say(f"Took {chosen.budget_s - page.left_s:.0f} s.")
    page.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
