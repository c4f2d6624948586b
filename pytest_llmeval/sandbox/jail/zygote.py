"""A warm interpreter that forks one child per sample and reports how it ended."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import time
from typing import Any

from . import wire

PRELOAD = (
    "math re itertools collections functools heapq bisect random string copy typing hashlib datetime".split()
)


def main(control: int, config: dict[str, Any]) -> None:
    """Serve samples from the control socket until it closes."""
    for name in PRELOAD:
        __import__(name)
    os.environ.clear()
    gc.collect()
    gc.freeze()
    wire.write_message(control, {"ready": os.getpid()})
    while True:
        try:
            sample = wire.read_message(control)
        except EOFError:
            os._exit(0)
        wire.write_message(control, judge(control, sample))


def judge(control: int, sample: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait, kill the whole group; the report of one sample."""
    started = time.monotonic()
    verdict_r, verdict_w = os.pipe()
    output_r, output_w = os.pipe()
    nonce = os.urandom(16).hex()
    pid = os.fork()
    if pid == 0:
        _child(sample, nonce, verdict_w, output_w)
    os.close(verdict_w)
    os.close(output_w)
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    for fd in (pidfd, verdict_r, output_r, control):
        poll.register(fd, select.POLLIN if fd != control else 0)
    deadline = started + sample["limits"]["wall_s"]
    status, output, verdict, total = "", bytearray(), bytearray(), 0
    while not status:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            status = "timeout"
            break
        for fd, _ in poll.poll(left_s * 1000 + 1):
            if fd == control:
                os._exit(0)
            if fd == pidfd:
                status = "ended"
                continue
            data = os.read(fd, 65536)
            if not data:
                poll.unregister(fd)
            elif fd == verdict_r:
                verdict += data
            else:
                total += len(data)
                output += data[: sample["limits"]["output_kept_bytes"] - len(output)]
                if total > sample["limits"]["output_bytes"]:
                    status = "output_limit"
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    _, code, usage = os.wait4(pid, 0)
    for fd in (verdict_r, output_r):
        os.set_blocking(fd, False)
    try:
        verdict += os.read(verdict_r, 65536)
        output += os.read(output_r, 65536)
    except BlockingIOError:
        pass
    for fd in (verdict_r, output_r, pidfd):
        os.close(fd)
    return {
        "id": sample["id"],
        "status": status,
        "code": os.waitstatus_to_exitcode(code),
        "verdict": verdict.decode("ascii", "replace").removeprefix(nonce)
        if verdict.startswith(nonce.encode())
        else "",
        "output": output.decode("utf-8", "replace"),
        "wall_s": time.monotonic() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }


def _child(sample: dict[str, Any], nonce: str, verdict_w: int, output_w: int) -> None:
    try:
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((null, 0), (output_w, 1), (output_w, 2)):
            os.dup2(source, target)
        verdict_w = os.dup2(verdict_w, 3)
        os.closerange(4, 4096)
        limits = sample["limits"]
        for kind, bound in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, limits["cpu_s"]),
            (resource.RLIMIT_AS, limits["memory_bytes"]),
            (resource.RLIMIT_FSIZE, limits["file_bytes"]),
            (resource.RLIMIT_NOFILE, limits["open_files"]),
        ):
            resource.setrlimit(kind, (bound, bound))
        result = _run(sample["source"])
        wire.write_all(3, (nonce + result).encode("ascii", "backslashreplace")[:4000])
    finally:
        os._exit(0)


def _run(source: str) -> str:
    import sys

    try:
        code = compile(source, "<sample>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return f"syntax_error {type(error).__name__}: {error}"
    try:
        exec(code, {})
    except AssertionError as error:
        return f"wrong_answer AssertionError: {error}"
    except MemoryError:
        return "memory MemoryError"
    except BaseException as error:
        return f"exception {type(error).__name__}: {error}"
    finally:
        sys.stdout.flush()
    return "passed "
