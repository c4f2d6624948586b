"""What runs on a node to judge programs: one sandbox worker in an actor. Knows nothing of ray."""

from __future__ import annotations

import platform
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox import Executor, Isolation, Limits
from pytest_llmeval.schema import Problem, Program, Verdict


@dataclass(frozen=True, slots=True)
class Settings:
    """How every actor's sandbox is set up; the fields are the Executor's arguments.

    `scratch`: a folder for what an actor needs on disk, which somebody else removes: an actor is ended at work. None:
    the node's own temporary one.
    """

    level: str
    limits: Limits
    site: tuple[str, ...]
    scratch: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """What an actor says once it is up: what its self-test proved, or why it judges nothing."""

    host: str
    isolation: Isolation | None
    environment: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A Program on its way to an actor, under the number that its Verdict comes back with."""

    number: int
    program: Program
    problem: Problem
    limits: Limits


class ScoringActor:
    """One sandbox worker with zygotes of its own, which has proven itself before it judges.

    Whatever ends the actor's process ends the zygotes: the kernel kills them with the thread that started them.
    """

    def __init__(self, settings: Settings) -> None:
        take_signals_again()
        tempfile.tempdir = settings.scratch  # this process is ours alone
        self._executor = Executor(settings.level, workers=1, limits=settings.limits, site=list(settings.site))
        self._refusal = ""
        try:
            self._executor.start()
        except SandboxFault as fault:
            self._refusal = str(fault)

    def started(self) -> Started:
        if self._refusal:
            return Started(platform.node(), None, refusal=self._refusal)
        return Started(platform.node(), self._executor.isolation, self._executor.environment)

    def judge(self, batch: Sequence[Asked]) -> tuple[Started, list[tuple[int, Verdict]]]:
        """The Verdicts of a batch, by number, and what holds the programs in.

        An actor that was idle when it was lost comes back unnoticed, on another node perhaps: so it says each time
        what it proved there. SandboxFault where that was not enough.
        """
        if self._refusal:
            raise SandboxFault(self._refusal)
        waiting = [(one.number, self._executor.submit(one.program, one.problem, one.limits)) for one in batch]
        return self.started(), [(number, future.result()) for number, future in waiting]


def take_signals_again() -> None:
    """Ray's processes block SIGINT, and what they start would inherit that: a program that interrupts itself
    would then fare differently from one that is judged without Ray."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
