"""Four entries of the embedded model on two core sets against the same four one after another; interleaved.

The rivals: one run in which each model's host imports while the one before works (what happens without the option),
and a run for each model, as a shell's loop would make them.

    python benchmarks/bench_devices.py [--rounds 1] [--problems 16] [--probe 0] [--models 4] [--devices 0,1]

Each arm is a pytest process of its own on real vLLM, without HTML. Per arm: seconds of the whole process, and where
the models' time went, by the run's own manifest: from the first engine's start to the last's end, importing, loading,
from ready to the last verdict (answering and judging), closing with the probe, and waiting in between. `cpu` is the
processor time of the process and everything it started; two cores give two seconds of it a second.

On core sets every engine has one core for all it does. One after another, an engine computes on one core too, but the
next one's imports use the other meanwhile: what side by side can save is what that leaves idle.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
LIMIT_S = 900
REGISTRY = """
[defaults]
prompt_style = "completion"
needs = { device = "any", hub = false }
sampling = { max_tokens = 128 }

[defaults.engine]
dtype = "bfloat16"
enforce_eager = true
max_model_len = 1024
kv_cache_memory_bytes = 67108864
"""
ENTRY = '[models.tiny_{n}]\nmodel = "builtin:tiny_coder"\nengine = {{ max_num_seqs = {seqs} }}\n'


def arm(folder: Path, problems: int, probe: int, *options: str) -> dict[str, float]:
    reports = tempfile.mkdtemp(dir=folder)
    command = [
        *(sys.executable, "-m", "pytest", "suites/coding/test_humaneval.py", "-q", "-p", "no:cacheprovider"),
        *("-p", "no:html", f"--llmeval-registry={folder}/models.toml", f"--llmeval-reports={reports}"),
        *(
            "--llmeval-wrong=xfail",
            f"--llmeval-limit={problems}",
            f"--llmeval-probe={probe or 'off'}",
            *options,
        ),
    ]
    before, started = cpu_s(), time.monotonic()
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    wall = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    manifest = json.loads((Path(reports) / "latest/manifest.json").read_text())
    return {"wall": wall, "cpu": cpu_s() - before, **account(manifest)}


def run_each(folder: Path, problems: int, probe: int, models: int) -> dict[str, float]:
    """A pytest process for each model; seconds of all of them."""
    runs = [arm(folder, problems, probe, f"--llmeval-models=tiny_{n}") for n in range(models)]
    return {part: sum(run[part] for run in runs) for part in runs[0]}


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def account(manifest: dict) -> dict[str, float]:
    """Seconds summed over the models; `engines` is from the first's start to the last's end, side by side only."""
    infos = manifest["engines"].values()
    parts = {
        "import": sum(info["import_s"] for info in infos),
        "load": sum(info["load_s"] for info in infos),
    }
    if not manifest["side_by_side"]:
        return {**parts, "answer": sum(s["batch_s"] for s in manifest["states"].values())}
    seats = manifest["side_by_side"]["models"].values()
    return {
        **parts,
        "answer": sum(s["batch_s"] for s in manifest["states"].values()),
        "answer+judge": sum(s["settled_s"] - s["ready_s"] for s in seats),
        "close": sum(s["to_s"] - s["finishing_s"] for s in seats),
        "waiting to measure": sum(s["finishing_s"] - s["settled_s"] for s in seats),
        "engines": max(s["to_s"] for s in seats),
    }


def show(name: str, found: list[dict[str, float]]) -> None:
    print(f"{name}:")
    for part in dict.fromkeys(key for one in found for key in one):
        values = [one[part] for one in found]
        print(f"    {part:<20} {statistics.median(values):7.1f} s   {[round(value, 1) for value in values]}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--probe", type=int, default=0)
    parser.add_argument("--models", type=int, default=4)
    cores = sorted(os.sched_getaffinity(0))[:2]
    parser.add_argument("--devices", default=",".join(map(str, cores)))
    given = parser.parse_args()
    side_by_side = f"on {given.devices}"
    size = (given.problems, given.probe)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arms: dict[str, Callable[[], dict[str, float]]] = {
            "a run each": lambda: run_each(folder, *size, given.models),
            "one after another": lambda: arm(folder, *size),
            side_by_side: lambda: arm(folder, *size, f"--llmeval-devices={given.devices}"),
        }
        found: dict[str, list[dict[str, float]]] = {label: [] for label in arms}
        entries = "".join(ENTRY.format(n=n, seqs=8 + n) for n in range(given.models))
        (folder / "models.toml").write_text(REGISTRY + entries)
        for _ in range(given.rounds):
            for label, run in arms.items():
                found[label].append(run())
                print(f"{label}: {found[label][-1]}", flush=True)
    for label, values in found.items():
        show(label, values)
    for rival in list(found)[:2]:
        pairs = zip(found[side_by_side], found[rival], strict=True)
        ratios = [ours["wall"] / theirs["wall"] for ours, theirs in pairs]
        print(
            f"wall against {rival}: {statistics.median(ratios):.2f}   {[round(ratio, 2) for ratio in ratios]}"
        )


if __name__ == "__main__":
    main()
