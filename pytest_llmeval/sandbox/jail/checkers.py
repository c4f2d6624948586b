"""The checker zygote: compiles tests once, and forks a checker for each batch of a problem's samples."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections import OrderedDict
from typing import Any, NoReturn

from . import checker, kernel, wire

PROBLEMS_KEPT = 256


def serve(control: int, config: dict[str, Any]) -> NoReturn:
    """Fork a checker per batch of a problem's samples, until the control socket closes."""
    verdicts = socket.socket(fileno=config["verdicts"])
    link = socket.socket(fileno=config["link"])
    known: OrderedDict[str, checker.Tests | str] = OrderedDict()
    while True:
        problem = wire.read_message(control)
        count, foretold = problem.pop("count"), problem.pop("foretold")
        key = repr(problem)
        if key not in known:  # compiled here, once: a fork that compiles copies pages
            known[key] = checker.prepared(problem)
            if len(known) > PROBLEMS_KEPT:
                known.popitem(last=False)
        tests = known[key]
        if isinstance(tests, checker.Tests):
            tests.foretell(foretold)
        pid = os.fork()
        if pid == 0:
            _check(control, link, verdicts, tests, count)
        code = _watched(pid, control)
        if code:
            lost = {"outcome": "lost", "detail": str(code), "retires": True, "foretold": False}
            verdicts.send(json.dumps(lost).encode("ascii"))


def _check(
    control: int, link: socket.socket, verdicts: socket.socket, tests: checker.Tests | str, count: int
) -> NoReturn:
    try:
        os.close(control)
        checker.serve(link, verdicts, tests, count)
        os._exit(0)
    finally:
        os._exit(70)


def _watched(pid: int, control: int) -> int:
    """The exit code of a checker; it is killed with us when the parent goes."""
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
