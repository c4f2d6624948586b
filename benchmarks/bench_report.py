"""What reports of large runs cost: 5 models × 164 problems × n samples that never ran.

    python benchmarks/bench_report.py [N ...]      N samples a problem (default: 1 and 100, that is 82,000 in all)

Prints seconds, peak memory and sizes; where Chromium is installed, also how long the page takes to open. What is
promised: one sample a problem opens in less than 3 s, 100 in less than 5 s from a page of less than 10 MB.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
import chromium

from pytest_llmeval.problems import humaneval
from pytest_llmeval.schema import (
    Completion,
    Outcome,
    Program,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Timing,
    Verdict,
)
from pytest_llmeval.testing.runs import write_run

MODELS = ("alpha_8b", "beta_14b", "gamma_30b", "delta_16b", "epsilon_22b")
FAILURES = (
    Verdict(Outcome.WRONG_ANSWER, "assert candidate([1.0, 2.0, 3.9], 0.3) == True: got False", "", 0.02),
    Verdict(Outcome.EXCEPTION, "TypeError: unsupported operand type(s) for +: 'int' and 'str'", "", 0.02),
)


def records(n: int) -> Iterator[Record]:
    """Right answers are the canonical solutions with a comment of their own, wrong ones give up half-way."""
    rng = random.Random(1)
    for model in MODELS:
        for problem in humaneval.load().problems:
            share = rng.betavariate(0.8, 0.4)
            samples = tuple(
                _sample(rng, i, problem.prompt, problem.canonical_solution, share) for i in range(n)
            )
            yield Record(
                model, "humaneval", problem.task_id, Prompt(PromptStyle.COMPLETION, problem.prompt), samples
            )


def _sample(rng: random.Random, index: int, prompt: str, solution: str, share: float) -> Sample:
    right = rng.random() < share
    body = f"    # attempt {index}\n{solution}" if right else f"    # attempt {index}\n    return None\n"
    seconds = rng.lognormvariate(0.5, 0.3)
    timing = Timing(128, 0.01, 0.05, seconds, seconds + 0.06)
    completion = Completion(body, "stop", 180, len(body) // 4, timing=timing)
    verdict = Verdict(Outcome.PASSED, "", "", 0.02) if right else rng.choice(FAILURES)
    return Sample(index, completion, Program(prompt + body, "body after the prompt"), verdict)


def main(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = write_run(Path(folder) / "run", records(n))
        size = (run / "results.jsonl").stat().st_size
        print(f"{len(MODELS)} models x 164 problems x {n} samples, results.jsonl {size / 1e6:.0f} MB")
        print(f"report command: {_reported(run)}")
        print(f"report.html: {(run / 'report.html').stat().st_size / 1e6:.2f} MB")
        beside = [path.stat().st_size for path in run.glob("items/**/*.html")]
        print(f"beside it: {len(beside)} files, {sum(beside) / 1e6:.0f} MB")
        if chromium.BINARY:
            print(
                "opens in Chromium (loaded and idle; CPU of its main thread) in "
                + _openings(run / "report.html")
            )


def _reported(run: Path) -> str:
    """What `python -m pytest_llmeval report` took: wall time, CPU time, peak memory."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest_llmeval", "report", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    wall, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
    return f"{wall:.1f} s ({cpu:.1f} s CPU), peak {used.ru_maxrss / 1024:.0f} MiB"


def _openings(page: Path) -> str:
    """Three times, each in a browser of its own that runs already."""
    return ", ".join(f"{wall:.2f} s ({cpu:.2f} s)" for wall, cpu in (_opening(page) for _ in range(3)))


def _opening(page: Path) -> tuple[float, float]:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium.tab(Path(profile)) as tab,
    ):
        tab.call("Performance.enable", timeDomain="threadTicks")
        began = time.monotonic()
        tab.open(page)
        wall = time.monotonic() - began - 0.5  # networkIdle is half a second without requests
        told = {one["name"]: one["value"] for one in tab.call("Performance.getMetrics")["metrics"]}
        return wall, told["TaskDuration"]


if __name__ == "__main__":
    for n in map(int, sys.argv[1:] or ("1", "100")):
        main(n)
