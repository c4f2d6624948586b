"""Programs that are the same word for word: a loop that never ends is waited for once."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Protocol

from pytest_llmeval.schema import Outcome, Problem, Program, Verdict

Key = tuple[Problem, bytes]


class Judges(Protocol):
    """What judges a Program; its futures always resolve."""

    def submit(self, program: Program, problem: Problem) -> Future[Verdict]: ...


class Repeats:
    """Has what is the same word for word judged by one first: where that times out, so would the others.

    Programs start from the same state, so the same one ends in the same way; a loop that a model recites twenty
    times would be waited for forty times. Other verdicts cost next to nothing, and every sample gets its own.
    """

    def __init__(self, executor: Judges) -> None:
        self._executor = executor
        self._waiting: dict[Key, list[tuple[Program, Future[Verdict]]]] = {}
        self._timeouts: dict[Key, Verdict] = {}
        self._lock = threading.Lock()

    def submit(self, program: Program, problem: Problem) -> Future[Verdict]:
        """The verdict of `program`, in time. Callable from any thread."""
        # Sources are not kept: of a million samples, tens of thousands may never end.
        key, verdict = (problem, _digest(program)), Future[Verdict]()
        with self._lock:
            known = self._timeouts.get(key)
            if known is None and key in self._waiting:
                self._waiting[key].append((program, verdict))
                return verdict
            if known is None:
                self._waiting[key] = []
        if known is not None:
            verdict.set_result(known)
            return verdict
        first = self._executor.submit(program, problem)
        first.add_done_callback(partial(self._settle, key))
        return first

    def _settle(self, key: Key, first: Future[Verdict]) -> None:
        """The first of its kind is judged: its timeout holds for the others, who otherwise have their turn."""
        verdict = first.result()
        with self._lock:
            waiting = self._waiting.pop(key)
            if verdict.outcome is Outcome.TIMEOUT:
                self._timeouts[key] = of_the_same_program(verdict)
        for program, future in waiting:
            if verdict.outcome is Outcome.TIMEOUT:
                future.set_result(of_the_same_program(verdict))
            else:
                self._executor.submit(program, key[0]).add_done_callback(partial(hand_over, future))


def _digest(program: Program) -> bytes:
    return hashlib.blake2b(program.source.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def of_the_same_program(timeout: Verdict) -> Verdict:
    """A timeout as the verdict of a program that was not run: it has no times."""
    return replace(timeout, detail=f"{timeout.detail}, as the same program before", wall_s=None, cpu_s=None)


def hand_over(future: Future[Verdict], done: Future[Verdict]) -> None:
    future.set_result(done.result())
