"""The checker zygote: forks a host that compiles tests and judges, and another whenever one had to retire.

Tests that leave no trace (purity.py) are judged in the host itself, since a fork costs more than judging;
others in a process of their own for each batch of a problem's samples.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import select
import signal
import socket
from collections.abc import Iterator
from typing import Any, NoReturn

from . import checker, confine, kernel, wire

MEMORY_BYTES = 4 << 30  # what a test may make of the answers


def serve(control: int, config: dict[str, Any]) -> NoReturn:
    """Keep a host that judges, until the control socket closes."""
    verdicts: int = config["verdicts"]
    link = socket.socket(fileno=config["link"])
    with contextlib.suppress(OSError, ValueError):  # no such limit on macOS
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    while True:
        pid = os.fork()
        if pid == 0:
            _host(config, control, link, verdicts)
        code = _watched(pid, control)
        if code:
            _tell_lost(verdicts, code)


def _tell_lost(verdicts: int, code: int) -> None:
    said = {"outcome": "lost", "detail": str(code), "retires": True, "foretold": False, "kept": False}
    checker.tell(verdicts, said)


def lifetime(samples: int) -> Iterator[bool]:
    """True until so many have been judged: the heap of one that meets large answers never shrinks again."""
    return itertools.chain(itertools.repeat(True, samples - 1), itertools.repeat(False))


def _host(config: dict[str, Any], control: int, link: socket.socket, verdicts: int) -> NoReturn:
    """Judge batch after batch; the parent knows which problems this process holds."""
    level: str = config["level"]
    known: dict[int, checker.Tests | str] = {}
    life = lifetime(config["lifetime"])
    cores = confine.Cores()
    try:
        _end_with_parent(level)
        while True:
            batch = wire.read_message(control)
            cores.keep_to(batch["cores"])
            tests = _tests(control, batch, known)
            if isinstance(tests, str) or tests.leaves_no_trace:
                if checker.serve(link, verdicts, tests, batch["count"], life):
                    os._exit(0)
            else:
                _judge_apart(level, control, link, verdicts, tests, batch["count"])
    except (EOFError, ConnectionError):
        os._exit(0)
    finally:
        os._exit(70)


def _end_with_parent(level: str) -> None:
    if level != "A":  # where no pid namespace ends with the zygote
        confine.kernel_rule(kernel.PR_SET_PDEATHSIG, signal.SIGKILL, level)


def _tests(control: int, batch: dict[str, Any], known: dict[int, checker.Tests | str]) -> checker.Tests | str:
    """The batch's tests: what is not known yet comes with it."""
    if batch["forget"]:
        known.clear()
    if batch["tests"] is not None:
        known[batch["problem"]] = checker.prepared(batch["tests"])
    tests = known[batch["problem"]]
    calls = wire.read_block(control) if batch["calls"] else b""
    if calls and isinstance(tests, checker.Tests):
        tests.foretell(calls)
    return tests


def _judge_apart(
    level: str, control: int, link: socket.socket, verdicts: int, tests: checker.Tests, count: int
) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            _end_with_parent(level)
            os.close(control)
            checker.serve(link, verdicts, tests, count, itertools.repeat(True))
            os._exit(0)
        finally:
            os._exit(70)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        _tell_lost(verdicts, code)


def _watched(pid: int, control: int) -> int:
    """The exit code of the host; it is killed with us when the parent goes."""
    poll = select.poll()
    poll.register(control, 0)
    ended = kernel.exit_event(pid)
    if ended is not None:
        poll.register(ended, select.POLLIN)
    while True:
        ready = poll.poll(None if ended is not None else kernel.POLL_WITHOUT_PIDFD_MS)
        if any(fd == control for fd, _ in ready):
            os.kill(pid, signal.SIGKILL)
            os._exit(0)
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            if ended is not None:
                os.close(ended)
            return os.waitstatus_to_exitcode(status)
