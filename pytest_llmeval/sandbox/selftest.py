"""What a level promises, tried out on this machine before the first program runs.

Each promise is a small program that attacks it and asserts that it fails. Feature flags say what a kernel was
built with; only an attempt says what holds here.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox.isolation import Isolation, Level
from pytest_llmeval.sandbox.launch import Means
from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.sandbox.worker import Task, Worker, WorkerLost
from pytest_llmeval.schema import Channel, Outcome, Problem, Program, Verdict

CANARY = "the canary is alive"

_REFUSED = """
def refused(attempt):
    try:
        attempt()
    except (OSError, ValueError, ImportError, MemoryError, RuntimeError):
        return True
    return False
"""
_PROBES = {
    "network": """
import socket
assert refused(lambda: socket.create_connection(("127.0.0.1", {port}), 0.5))
assert refused(lambda: socket.socket(socket.AF_UNIX).connect("\\0llmeval-nobody"))
""",
    "read": """
assert refused(lambda: open({canary!r}).read())
assert refused(lambda: open({package!r}).read())
""",
    "write": """
import os
assert refused(lambda: open({canary!r}, "a"))
assert refused(lambda: open({directory!r} + "/new", "w"))
assert refused(lambda: os.unlink({canary!r}))
assert refused(lambda: os.chmod({canary!r}, 0))
""",
    "processes": """
import os
def start():
    if os.fork() == 0:
        os._exit(0)
assert refused(start)
assert refused(lambda: os.execv("/bin/true", ["true"]))
""",
    "signals": """
import os, signal
parent = os.getppid()
for victim in {{parent, 1, {parent}}} - {{0, os.getpid()}}:
    for number in (signal.SIGTERM, signal.SIGKILL):
        refused(lambda: os.kill(victim, number))
""",
    "environment": """
import os
assert "LLMEVAL_CANARY" not in os.environ and "HF_TOKEN" not in os.environ
assert refused(lambda: open("/proc/%d/environ" % os.getppid()).read())
""",
    "memory": """
assert refused(lambda: bytearray({memory_bytes}))
""",
    "imports": """
import hashlib, csv
assert refused(lambda: __import__("pytest"))
""",
    "tmp": """
import os, tempfile
assert os.listdir("/tmp") == []
assert refused(lambda: [open("/tmp/%d" % n, "wb").write(bytes(4 << 20)) for n in range({tmp_files})])
""",
}
_ANSWERS = Problem("selftest", "split", "def f(n):\n", "f", "def check(f):\n    assert f(3) == 9\n", "")
PROMISES = (*_PROBES, "verdict")
# What a level must prove; the rest is reported as missing.
REQUIRED = {
    Level.NAMESPACES: PROMISES,
    Level.LANDLOCK: tuple(name for name in PROMISES if name != "tmp"),
    Level.SECCOMP: tuple(name for name in PROMISES if name not in ("tmp", "read", "environment")),
    Level.RLIMITS: (),
}


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What the probes aim at: a file, a listening port and this process."""

    canary: Path
    port: int


@contextmanager
def _surroundings() -> Iterator[_Surroundings]:
    with tempfile.TemporaryDirectory(prefix="llmeval-canary-") as name, socket.socket() as listener:
        directory = Path(name)
        directory.chmod(0o777)  # so that only the sandbox, not an owner's rights, keeps a sample out
        canary = directory / "canary"
        canary.write_text(CANARY)
        canary.chmod(0o666)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield _Surroundings(canary, listener.getsockname()[1])


def prove(worker: Worker, means: Means, limits: Limits) -> Isolation:
    """Try every promise on a started worker; SandboxFault where one is broken that the level must keep."""
    level = means.level
    with _surroundings() as around:
        values = {
            "port": around.port,
            "canary": str(around.canary),
            "directory": str(around.canary.parent),
            "package": __file__,
            "parent": os.getpid() if level is not Level.RLIMITS else 0,
            "memory_bytes": limits.memory_bytes,
            "tmp_files": limits.tmp_bytes // (4 << 20) + 1,
        }
        held = {name: _holds(worker, name, values, limits) for name in _PROBES}
        held["write"] = held["write"] and around.canary.is_file() and around.canary.read_text() == CANARY
        held["verdict"] = _judges(worker, limits)
    proven = tuple(name for name in PROMISES if held[name])
    missing = tuple(name for name in PROMISES if not held[name])
    broken = [name for name in REQUIRED[level] if name in missing]
    if broken:
        raise SandboxFault(f"the self-test broke: {', '.join(broken)}")
    return _described(means, proven, missing)


def _holds(worker: Worker, name: str, values: dict[str, object], limits: Limits) -> bool:
    """True where the attack failed and the worker still judges."""
    if name == "signals" and not values["parent"]:
        return False  # level C: nothing stops a sample from killing whom it likes
    program = Program(_REFUSED + _PROBES[name].format_map(values), "selftest")
    problem = Problem("selftest", name, "", "refused", "def check(_):\n    pass\n", "", Channel.INLINE)
    return _judged(worker, program, problem, limits).passed


def _judges(worker: Worker, limits: Limits) -> bool:
    """True where a right and a wrong answer are told apart, also when both are asked of one checker."""
    right, wrong = (Program(f"def f(n):\n    return {body}\n", "selftest") for body in ("n * n", "n"))
    outcomes = [_judged(worker, program, _ANSWERS, limits).outcome for program in (right, wrong, right)]
    return outcomes == [Outcome.PASSED, Outcome.WRONG_ANSWER, Outcome.PASSED]


def _judged(worker: Worker, program: Program, problem: Problem, limits: Limits) -> Verdict:
    try:
        (verdict,) = worker.judge([Task(program, problem, replace(limits, wall_s=max(limits.wall_s, 10.0)))])
    except WorkerLost as lost:
        raise SandboxFault(f"the self-test lost the worker at {problem.task_id}: {lost}") from lost
    if isinstance(verdict, Exception):
        raise SandboxFault(f"the self-test got no verdict at {problem.task_id}: {verdict}")
    return verdict


def _described(means: Means, proven: tuple[str, ...], missing: tuple[str, ...]) -> Isolation:
    level = means.level
    files = {
        Level.NAMESPACES: "private, none of this machine's",
        Level.LANDLOCK: "the interpreter's, read only",
        Level.SECCOMP: "readable, read only",
        Level.RLIMITS: "open",
    }[level]
    return Isolation(
        level=level,
        means=means.value,
        network="none" if "network" in proven else "open",
        files=files,
        verdict="split" if level is not Level.RLIMITS else "split, same user",
        proven=proven,
        missing=missing,
    )
