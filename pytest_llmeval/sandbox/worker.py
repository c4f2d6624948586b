"""A pair of zygotes that judges samples: candidates are forked from one, checkers from the other."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox.interpreter import Interpreter
from pytest_llmeval.sandbox.jail.patience import LONGEST
from pytest_llmeval.sandbox.jail.wire import CONTROL_FD
from pytest_llmeval.sandbox.launch import CHECKER_PRELOAD, PRELOAD, Means, launches
from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.sandbox.stream import Stream
from pytest_llmeval.sandbox.verdicts import Judgement, verdict_of
from pytest_llmeval.sandbox.zygote import Zygote
from pytest_llmeval.schema import Channel, Problem, Program, Verdict

GRACE_S = 120.0  # how late a report may be on a busy machine; a zygote that died is noticed at once
TOLD_BYTES = 64 << 20  # of tests that a worker's checker holds
CHECKER_LIFETIME = 4096  # samples, then another takes its place
SENT_AHEAD = 2  # samples at a zygote: one runs, one waits, so that it never idles
SENT_AHEAD_BYTES = 32 << 10  # larger sources wait for their turn: the socket must never be full on both sides
PACKETS = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM


class Calls:
    """What tests were seen to ask, by problem, as a checker wrote it: shared by all workers, and bounded."""

    MAX_BYTES = 256 << 20

    def __init__(self) -> None:
        self._known: dict[Problem, bytes] = {}
        self._bytes = 0

    def of(self, problem: Problem) -> bytes:
        """The longest list that is known; empty where there is none."""
        return self._known.get(problem, b"")

    def learn(self, problem: Problem, calls: bytes, passed: bool) -> None:
        """Keep the longer list, or what right answers led to."""
        known = len(self.of(problem))
        if (passed or len(calls) > known) and self._bytes + len(calls) - known <= self.MAX_BYTES:
            self._known[problem] = calls
            self._bytes += len(calls) - known


@dataclass(frozen=True, slots=True)
class Task:
    """One Program to judge."""

    program: Program
    problem: Problem
    limits: Limits
    live: bool = False  # ask each call only when the tests make it
    alone: bool = False  # with a core to itself, and time counted in what it gets of it


class Unclear(Exception):
    """A sample must be judged again, call by call."""


class WorkerLost(Exception):
    """The worker gives no more verdicts; what it was given must be judged by another."""


class Worker:
    """Two zygotes at one level. `close()` kills them with all they forked and removes their directory."""

    def __init__(self, means: Means, interpreter: Interpreter, limits: Limits, calls: Calls) -> None:
        """SandboxFault where it cannot be isolated so; call it in a thread that outlives the worker."""
        self._calls = calls
        self._told: dict[Problem, tuple[int, bytes]] = {}  # what the checker holds: number and calls
        self._numbers = itertools.count(1)
        self._told_bytes = 0
        self._tells_anew = False
        self._cores: list[int] = []
        self._ids = itertools.count(1)
        self._work = tempfile.mkdtemp(prefix="llmeval-") if means is Means.RLIMITS else ""
        self._zygotes: list[Zygote] = []
        ours, verdicts = socket.socketpair()
        self._verdicts = Stream(ours)
        candidates_link, checkers_link = socket.socketpair(socket.AF_UNIX, PACKETS)
        verdicts, candidates_link, checkers_link = map(_passable, (verdicts, candidates_link, checkers_link))
        with verdicts, candidates_link, checkers_link:
            roles: tuple[dict[str, Any], ...] = (
                {"role": "candidates", "link": candidates_link.fileno(), "preload": PRELOAD},
                {"role": "checkers", "link": checkers_link.fileno(), "preload": CHECKER_PRELOAD}
                | {"verdicts": verdicts.fileno(), "lifetime": CHECKER_LIFETIME},
            )
            try:
                for role in roles:
                    fds = tuple(role[name] for name in ("link", "verdicts") if name in role)
                    self._zygotes.append(_started(means, interpreter, limits, self._work, role, fds))
            except BaseException:
                self.close()
                raise
        self._candidates, self._checkers = self._zygotes

    def judge(
        self, tasks: Sequence[Task], cores: Sequence[int] = ()
    ) -> Iterator[Verdict | SandboxFault | Unclear]:
        """The verdicts of samples of one problem, in order; WorkerLost where they stop coming.

        All that is done for them is done on `cores`, where any are named.
        """
        self._cores = list(cores)
        split = tasks[0].problem.channel is Channel.SPLIT
        first_id, sent = next(self._ids), 0
        self._ids = itertools.count(first_id + len(tasks))
        try:
            if split:
                self._send_tests(tasks[0].problem, len(tasks))
            for index, task in enumerate(tasks):
                while sent < len(tasks) and _may_send(tasks[sent], sent - index):
                    message = _message(first_id + sent, tasks[sent])
                    self._candidates.send(message | {"cores": self._cores}, _program(tasks[sent]))
                    sent += 1
                patience_s = task.limits.wall_s * (LONGEST if task.alone else 1) + GRACE_S
                report, output = self._candidates.receive_report(patience_s)
                judgement = self._judgement(tasks, index, first_id) if split else None
                yield _verdict(report, output, judgement, task.limits)
        except (OSError, ValueError) as error:
            raise WorkerLost(repr(error)) from error

    def _judgement(self, tasks: Sequence[Task], index: int, first_id: int) -> Judgement:
        """What the checker said of the sample; a checker that left is followed by another for the rest."""
        problem = tasks[index].problem
        said = json.loads(self._verdicts.block(tasks[index].limits.wall_s * LONGEST + GRACE_S))
        if said.get("id", first_id + index) != first_id + index:
            raise ValueError(f"a verdict of sample {said['id']}, expected was {first_id + index}")
        if said["learned"]:
            calls = self._verdicts.block(GRACE_S)
            self._calls.learn(problem, calls, passed=said["outcome"] == "passed")
            if said["kept"]:
                self._told[problem] = (self._told[problem][0], calls)
        if said["retires"]:
            self._forget()
            left = len(tasks) - index - 1
            if left:
                self._send_tests(problem, left)
        return Judgement(said["outcome"], said["detail"], said["foretold"])

    def _forget(self) -> None:
        """Whatever checker comes next knows nothing."""
        self._told.clear()
        self._told_bytes = 0
        self._tells_anew = True

    def _send_tests(self, problem: Problem, count: int) -> None:
        """Announce `count` samples of `problem`, with what the checker does not hold already."""
        size = len(problem.test) + len(problem.prompt)
        if problem not in self._told:
            if self._told_bytes + size > TOLD_BYTES:
                self._forget()
            self._told_bytes += size
        number, known = self._told.get(problem, (0, b""))
        calls = self._calls.of(problem)
        is_news = len(calls) > len(known)
        tests = None if number else _tests_message(problem)
        number = number or next(self._numbers)
        message = {
            "problem": number,
            "tests": tests,
            "forget": self._tells_anew,
            "count": count,
            "cores": self._cores,
            "calls": is_news,
        }
        self._tells_anew = False
        self._told[problem] = (number, calls if is_news else known)
        self._checkers.send(message, calls if is_news else None)

    def interrupt(self) -> None:
        """Make a `judge` that is under way in another thread end with WorkerLost."""
        for zygote in self._zygotes:
            zygote.interrupt()

    def close(self) -> None:
        """Kill everything; nothing that was forked survives."""
        for zygote in self._zygotes:
            zygote.close()
        self._verdicts.close()
        if self._work:
            shutil.rmtree(self._work, ignore_errors=True)


def _passable(end: socket.socket) -> socket.socket:
    """A zygote moves its control line to a number of its own; what it inherits must not stand there."""
    if end.fileno() != CONTROL_FD:
        return end
    with end:
        return end.dup()  # the lowest number that is free, while this one is not


def _started(
    means: Means,
    interpreter: Interpreter,
    limits: Limits,
    work: str,
    role: dict[str, Any],
    fds: tuple[int, ...],
) -> Zygote:
    """The first way to start by `means` that works; the last one's SandboxFault where none does."""
    refusal = SandboxFault(f"{means}: no way to start")
    for launch in launches(means, interpreter, limits, work):
        try:
            return Zygote(interpreter.executable, launch, role, fds)
        except SandboxFault as fault:
            refusal = SandboxFault(f"{means}: {fault}")
    raise refusal


@lru_cache(maxsize=64)
def _limits_message(limits: Limits) -> dict[str, Any]:
    return asdict(limits.resolved())


def _may_send(task: Task, ahead: int) -> bool:
    return ahead == 0 or (ahead < SENT_AHEAD and len(task.program.source) < SENT_AHEAD_BYTES)


def _tests_message(problem: Problem) -> dict[str, Any]:
    return {
        "prompt": problem.prompt,
        "test": problem.test,
        "entry_point": problem.entry_point,
        "mutates_arguments": problem.mutates_arguments,
        "opaque_answers": problem.opaque_answers,
        "call_s": problem.call_s,
    }


def _message(sample_id: int, task: Task) -> dict[str, Any]:
    problem = task.problem
    return {
        "id": sample_id,
        "inline": problem.channel is Channel.INLINE,
        "entry_point": problem.entry_point,
        "limits": _limits_message(task.limits),
        "live": task.live,
        "patient": task.alone,
        "mutates_arguments": problem.mutates_arguments,
        "opaque_answers": problem.opaque_answers,
    }


def _program(task: Task) -> bytes:
    """What the sample's process alone may read: the program, and its tests where they share the process."""
    tests = [task.problem.test] if task.problem.channel is Channel.INLINE else []
    return json.dumps([task.program.source, *tests]).encode("ascii")


def _verdict(
    report: dict[str, Any], output: bytes, judgement: Judgement | None, limits: Limits
) -> Verdict | SandboxFault | Unclear:
    if judgement is not None and not judgement.stands(report):
        return Unclear()
    try:
        return verdict_of(report, output, judgement, limits)
    except SandboxFault as fault:
        return fault
