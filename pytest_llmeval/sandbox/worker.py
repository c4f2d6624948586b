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
from pytest_llmeval.sandbox.launch import CHECKER_PRELOAD, PRELOAD, Means, launches
from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.sandbox.verdicts import Judgement, verdict_of
from pytest_llmeval.sandbox.zygote import Zygote
from pytest_llmeval.schema import Channel, Problem, Program, Verdict

GRACE_S = 5.0  # how late a zygote's report may be before it counts as lost
SENT_AHEAD = 2  # samples at a zygote: one runs, one waits, so that it never idles
SENT_AHEAD_BYTES = 32 << 10  # larger sources wait for their turn: the socket must never be full on both sides
PACKETS = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM


# What tests were seen to ask, by problem, as the checker wrote it: shared by all workers.
Calls = dict[Problem, list[str]]


@dataclass(frozen=True, slots=True)
class Task:
    """One Program to judge."""

    program: Program
    problem: Problem
    limits: Limits
    live: bool = False  # ask each call only when the tests make it


class Unclear(Exception):
    """A sample must be judged again, call by call."""


class WorkerLost(Exception):
    """The worker gives no more verdicts; what it was given must be judged by another."""


class Worker:
    """Two zygotes at one level. `close()` kills them with all they forked and removes their directory."""

    def __init__(self, means: Means, interpreter: Interpreter, limits: Limits, calls: Calls) -> None:
        """SandboxFault where it cannot be isolated so; call it in a thread that outlives the worker."""
        self._calls = calls
        self._ids = itertools.count(1)
        self._work = tempfile.mkdtemp(prefix="llmeval-") if means is Means.RLIMITS else ""
        self._zygotes: list[Zygote] = []
        self._verdicts, verdicts = socket.socketpair(socket.AF_UNIX, PACKETS)
        candidates_link, checkers_link = socket.socketpair(socket.AF_UNIX, PACKETS)
        with verdicts, candidates_link, checkers_link:
            roles: tuple[dict[str, Any], ...] = (
                {"role": "candidates", "link": candidates_link.fileno(), "preload": PRELOAD},
                {"role": "checkers", "link": checkers_link.fileno(), "preload": CHECKER_PRELOAD}
                | {"verdicts": verdicts.fileno()},
            )
            try:
                for role in roles:
                    fds = tuple(role[name] for name in ("link", "verdicts") if name in role)
                    self._zygotes.append(_started(means, interpreter, limits, self._work, role, fds))
            except BaseException:
                self.close()
                raise
        self._candidates, self._checkers = self._zygotes

    def judge(self, tasks: Sequence[Task]) -> Iterator[Verdict | SandboxFault | Unclear]:
        """The verdicts of samples of one problem, in order; WorkerLost where they stop coming."""
        split = tasks[0].problem.channel is Channel.SPLIT
        first_id, sent = next(self._ids), 0
        self._ids = itertools.count(first_id + len(tasks))
        try:
            if split:
                self._send_tests(tasks[0].problem, len(tasks))
            for index, task in enumerate(tasks):
                while sent < len(tasks) and _may_send(tasks[sent], sent - index):
                    self._candidates.send(_message(first_id + sent, tasks[sent]))
                    sent += 1
                report = self._candidates.receive(task.limits.wall_s + GRACE_S)
                output = self._candidates.receive_block(GRACE_S)
                judgement = self._judgement(tasks, index, first_id) if split else None
                yield _verdict(report, output, judgement, task.limits)
        except (OSError, ValueError) as error:
            raise WorkerLost(repr(error)) from error

    def _judgement(self, tasks: Sequence[Task], index: int, first_id: int) -> Judgement:
        """What the checker said of the sample; a checker that left is followed by another for the rest."""
        self._verdicts.settimeout(tasks[index].limits.wall_s + GRACE_S)
        packet = self._verdicts.recv(1 << 18)
        if not packet:
            raise ConnectionResetError("the checker's zygote died")
        said = json.loads(packet)
        if said.get("id", first_id + index) != first_id + index:
            raise ValueError(f"a verdict of sample {said['id']}, expected was {first_id + index}")
        if "learned" in said:
            self._calls[tasks[index].problem] = said["learned"]
        left = len(tasks) - index - 1
        if said["retires"] and left:
            self._send_tests(tasks[0].problem, left)
        return Judgement(said["outcome"], said["detail"], said["foretold"])

    def _send_tests(self, problem: Problem, count: int) -> None:
        self._checkers.send(
            {
                "prompt": problem.prompt,
                "test": problem.test,
                "entry_point": problem.entry_point,
                "mutates_arguments": problem.mutates_arguments,
                "opaque_answers": problem.opaque_answers,
                "call_s": problem.call_s,
                "foretold": self._calls.get(problem, []),
                "count": count,
            }
        )

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


def _message(sample_id: int, task: Task) -> dict[str, Any]:
    problem = task.problem
    message: dict[str, Any] = {
        "id": sample_id,
        "source": task.program.source,
        "entry_point": problem.entry_point,
        "limits": _limits_message(task.limits),
        "live": task.live,
    }
    if problem.channel is Channel.INLINE:
        return message | {"test": problem.test}
    return message | {
        "mutates_arguments": problem.mutates_arguments,
        "opaque_answers": problem.opaque_answers,
    }


def _verdict(
    report: dict[str, Any], output: bytes, judgement: Judgement | None, limits: Limits
) -> Verdict | SandboxFault | Unclear:
    if judgement is not None and not judgement.stands(report):
        return Unclear()
    try:
        return verdict_of(report, output, judgement, limits)
    except SandboxFault as fault:
        return fault
