"""The trusted side of the split channel: run a problem's tests against answers from another process.

A checker meets candidates only as decoded plain data, runs the problem's own source in a fresh namespace for
each, and retires after anything unusual.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

from . import candidate, codec, explain, purity, wire
from .answers import NO_CALLS, Answers, Calls, Stop
from .chance import START, random

MAX_FORETOLD_BYTES = 8 << 20
GRACE_S = 1.0  # of CPU time beyond the candidate's limit, for a comparison that does not end


class Tests:
    """One problem's trusted source, compiled once."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.entry_point: str = problem["entry_point"]
        self.writes_back: bool = problem["mutates_arguments"]
        self.opaque: bool = problem["opaque_answers"]
        self.call_s: float | None = problem["call_s"]
        self.source: str = problem["test"]
        self._setup = compiled_setup(problem["prompt"])
        self._test = compile(self.source, explain.TEST_NAME, "exec", dont_inherit=True)
        self._check = compile(f"check({self.entry_point})", "<check>", "exec", dont_inherit=True)
        self.leaves_no_trace = purity.leaves_no_trace(self._setup, self._test)
        self._foretold = NO_CALLS
        self._told = 0

    def run(self, fd: int, sample: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """What to say of the sample (outcome, detail in one line, whether this checker must retire, …), and
        the calls that the tests made where many more of them are known now. A `live` sample is sent none ahead.
        """
        random.setstate(START)  # every sample meets the same tests
        foretold = NO_CALLS if sample["live"] else self._foretold
        answers = Answers(fd, self.writes_back, foretold, self.opaque, self.call_s, sample["patience"])
        outcome, detail, retires = self._outcome(answers)
        line = explain.in_one_line(detail)
        said: dict[str, Any] = {"outcome": outcome, "detail": line, "retires": retires}
        said["foretold"] = len(foretold) > 0
        if outcome != "diverged":
            self._learn(foretold, answers, outcome == "passed")
        return said, self._to_tell(outcome == "passed")

    def foretell(self, calls: bytes) -> None:
        """Take over what another checker learned."""
        self._foretold = Calls.load(calls)
        self._told = len(self._foretold)

    def _learn(self, foretold: Calls, answers: Answers, passed: bool) -> None:
        """Where tests ask by the answers they get, what right answers led to counts."""
        if not answers.keys:
            return
        keys, requests = foretold.keys + answers.keys, foretold.requests + answers.requests
        count = _fitting(requests)
        if count > len(self._foretold) or (passed and keys[:count] != self._foretold.keys):
            self._foretold = Calls(keys[:count], requests[:count])
            self._told = 0 if passed else self._told

    def _to_tell(self, all_of_them: bool) -> bytes:
        known = len(self._foretold)
        if known > self._told and (all_of_them or known >= 2 * self._told):
            self._told = known
            return self._foretold.dump()
        return b""

    def _outcome(self, answers: Answers) -> tuple[str, str, bool]:
        namespace: dict[str, Any] = {}
        try:
            exec(self._setup, namespace)
            namespace[self.entry_point] = answers
            exec(self._test, namespace)
            exec(self._check, namespace)
            answers.finish()
        except Stop as stop:
            return stop.outcome, stop.detail, stop.retires
        except BaseException as error:
            return self._failed(error, answers)
        return "passed", "", False

    def _failed(self, error: BaseException, answers: Answers) -> tuple[str, str, bool]:
        try:
            answers.finish()  # a test that caught a Stop and failed later: the Stop is the reason
        except Stop as stop:
            return stop.outcome, stop.detail, stop.retires
        except BaseException as late:
            error = late
        if error is answers.raised:
            return candidate.outcome_of(error), answers.raised_text, False
        if isinstance(error, codec.IteratorCut):
            return "wrong_answer", f"not_plain_data: {error}", False
        retires = isinstance(error, MemoryError | RecursionError)
        return "wrong_answer", explain.failure(error, self.source, answers), retires


def _fitting(requests: list[bytes]) -> int:
    """How many of the requests are worth keeping."""
    total = 0
    for count, request in enumerate(requests):
        total += len(request)
        if total > MAX_FORETOLD_BYTES:
            return count
    return len(requests)


def compiled_setup(prompt: str) -> Any:
    """The prompt as trusted set-up: its imports and helpers, and an empty body for what it asks for."""
    for source in (prompt.rstrip("\n") + "\n    pass\n", prompt):
        try:
            return compile(source, "<prompt>", "exec", dont_inherit=True)
        except SyntaxError:
            continue
    return compile("", "<prompt>", "exec")


def prepared(problem: dict[str, Any]) -> Tests | str:
    """The problem's tests, or why they do not compile."""
    try:
        return Tests(problem)
    except Exception as error:
        return f"the problem's own source does not compile: {candidate.described(error)}"


def serve(
    link: socket.socket, verdicts: int, tests: Tests | str, count: int, lifetime: Iterator[bool]
) -> bool:
    """Judge `count` samples that arrive over `link`; True where it stopped early: after anything unusual, or
    because `lifetime`, which tells after each sample whether this process may go on, is over.
    """
    for _ in range(count):
        announced, (fd, *_), _, _ = socket.recv_fds(link, 256, 1)
        sample = json.loads(announced)
        # CPU time, not the clock's: a machine that is busy with other things must not look like a hang.
        signal.setitimer(signal.ITIMER_PROF, sample["wall_s"] + GRACE_S)
        learned = b""
        said: dict[str, Any]
        if isinstance(tests, str):
            said = {"outcome": "sandbox_error", "detail": tests, "retires": False, "foretold": False}
        else:
            said, learned = tests.run(fd, sample)
            said["kept"] = tests.leaves_no_trace  # then this process lives on and needs no reminder
        said["retires"] |= not next(lifetime)
        signal.setitimer(signal.ITIMER_PROF, 0)
        link.send(announced)  # the candidate is not needed any more
        os.close(fd)
        tell(verdicts, {"id": sample["id"], **said}, learned)
        if said["retires"]:
            return True
    return False


def tell(verdicts: int, said: dict[str, Any], learned: bytes = b"") -> None:
    """A verdict, and after it the calls that were learned."""
    said["learned"] = bool(learned)
    message = wire.block(json.dumps(said).encode("ascii"))
    wire.write_all(verdicts, message + wire.block(learned) if learned else message)
