"""The trusted side of the split channel: run a problem's tests against answers from another process.

One checker serves the samples of one problem in turn. It meets candidates only as decoded plain data, runs
the problem's own source in a fresh namespace for each, and retires after anything unusual.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import struct
from collections import deque
from typing import Any

from . import candidate, codec, explain, wire

MAX_DETAIL = 400
MAX_FORETOLD_BYTES = 80 << 10  # fits a socket's buffer, so that sending ahead never blocks
GRACE_S = 1.0  # beyond the candidate's own limit, for a comparison that does not end


class Stop(BaseException):
    """Ends the tests whatever they catch: the sample cannot pass any more."""

    def __init__(self, outcome: str, detail: str, retires: bool = False) -> None:
        super().__init__(detail)
        self.outcome, self.detail, self.retires = outcome, detail, retires


class Opaque:
    """An answer that is no plain data, as tests see it: true or false, and equal to nothing."""

    def __init__(self, name: str, truth: bool) -> None:
        self._name, self._truth = name, truth

    def __bool__(self) -> bool:
        return self._truth

    def __repr__(self) -> str:
        return f"<{self._name}>"


class Answers:
    """The function under test, as tests see it: each call crosses to the candidate and back."""

    def __init__(
        self,
        fd: int,
        writes_back: bool,
        foretold: list[bytes],
        opaque: bool = False,
        call_s: float | None = None,
    ) -> None:
        """`call_s` is how long one call may take.

        `foretold` are the calls that the tests made before: sent at once, asked for one by one.
        The candidate answers in order, so an answer is the same whether its call was sent ahead or not.
        """
        self._fd = fd
        self._replies = wire.Blocks(fd, codec.MAX_BYTES + 4096)
        self._writes_back = writes_back
        self._opaque = opaque
        self._call_s = call_s
        if call_s is not None:
            limit_waiting(fd, call_s)
        self._stop: Stop | None = None
        self._foretold = foretold
        self.requests: list[bytes] = []
        if foretold:
            with contextlib.suppress(ConnectionError):  # noticed where the answer is missing
                wire.write_all(fd, b"".join(map(wire.block, foretold)))
        self.calls = 0
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self.result: Any = None
        self.raised: BaseException | None = None

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if self._stop is not None:
            raise self._stop
        self.arguments, self.result = (arguments, keywords), None
        try:
            reply = self._exchange(self._request(arguments, keywords))
            self.calls += 1
            return self._answer(reply, arguments)
        except Stop as stop:
            self._stop = stop
            raise

    def finish(self) -> None:
        """Hold the program to what tests may have missed: that it loads, and every `Stop` they caught."""
        if self._stop is not None:
            raise self._stop
        if not self.calls:
            self._answer(self._exchange(b"null"), ())

    def _request(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
        try:
            return codec.dumps(codec.encode([list(arguments), keywords] if keywords else [list(arguments)]))
        except codec.TooLarge as error:
            # Only answers that the tests pass on can grow like this.
            outcome = "wrong_answer" if self.calls else "sandbox_error"
            raise Stop(outcome, f"arguments cannot cross: {error}") from None
        except codec.NotPlainData as error:
            raise Stop(
                "sandbox_error", f"the tests pass a {error}, which cannot cross: declare the problem inline"
            ) from None

    def _exchange(self, request: bytes) -> Any:
        index = len(self.requests)
        self.requests.append(request)
        if index < len(self._foretold) and request != self._foretold[index]:
            raise Stop("diverged", "its answers changed the calls")
        try:
            if index >= len(self._foretold):
                wire.write_block(self._fd, request)
            return codec.loads(self._replies.next())
        except BlockingIOError:  # answers come in order: the wait is never longer than the call itself
            raise Stop("timeout", f"no answer to one call within {self._call_s:g} s") from None
        except (EOFError, ConnectionError):
            raise Stop("ended", "the program's process ended") from None
        except (ValueError, codec.Malformed) as error:
            raise Stop("forged", f"malformed answer: {error}", retires=True) from None

    def _answer(self, reply: Any, arguments: tuple[Any, ...]) -> Any:
        try:
            match reply:
                case ["p"]:
                    return None
                case ["r", body, *written] if len(written) == self._writes_back:
                    self.result = codec.decode(body)
                    for mine, theirs in zip(
                        arguments, codec.decode(written[0]) if written else (), strict=False
                    ):
                        write_back(mine, theirs)
                    return self.result
                case ["e", body]:
                    self.raised = codec.decode_exception(body)
                    self.raised_text = f"{body[1]}: {body[2]}" if body[2] else body[1]
                    raise self.raised
                case ["o", str(name), bool(truth)] if self._opaque:
                    self.result = Opaque(name, truth)
                    return self.result
                case ["u", str(why)]:
                    raise Stop("wrong_answer", f"not_plain_data: returned a value that cannot cross: {why}")
                case ["x", "syntax_error" | "exception" | "memory" as outcome, str(text)]:
                    raise Stop(outcome, text)
        except codec.Malformed as error:
            raise Stop("forged", f"malformed answer: {error}", retires=True) from None
        except codec.NotPlainData as error:
            raise Stop("wrong_answer", f"not_plain_data: {error}") from None
        raise Stop("forged", "malformed answer", retires=True)


def limit_waiting(fd: int, seconds: float) -> None:
    """Make every read of a socket that has to wait longer fail with BlockingIOError."""
    whole = int(seconds)
    with socket.socket(fileno=os.dup(fd)) as channel:
        timeval = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


def write_back(mine: Any, theirs: Any) -> None:
    """Make a mutable argument equal to the candidate's copy of it, in place."""
    if type(mine) is not type(theirs):
        return
    if type(mine) is list:
        for index, (old, new) in enumerate(zip(mine, theirs, strict=False)):
            if type(old) is type(new) and type(old) in (list, dict):
                write_back(old, new)
                theirs[index] = old
        mine[:] = theirs
    elif type(mine) is dict:
        for key, old in mine.items():
            if type(old) in (list, dict) and type(theirs.get(key)) is type(old):
                write_back(old, theirs[key])
                theirs[key] = old
        _refill(mine, theirs)
    elif type(mine) is set:
        mine.clear()
        mine.update(theirs)
    elif type(mine) in (bytearray, deque):
        mine.clear()
        mine.extend(theirs)


def _refill(mine: dict[Any, Any], theirs: dict[Any, Any]) -> None:
    mine.clear()
    mine.update(theirs)


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
        self._chance = random.getstate()
        self._foretold: list[bytes] = []

    def run(self, fd: int, live: bool) -> dict[str, Any]:
        """Outcome, detail in one line, whether this checker must retire; `live` sends no call ahead.

        "learned" are the calls that the tests made, where more of them are known now.
        """
        random.setstate(self._chance)  # every sample meets the same tests
        foretold = [] if live else self._foretold
        answers = Answers(fd, self.writes_back, foretold, self.opaque, self.call_s)
        outcome, detail, retires = self._outcome(answers)
        line = " ".join(detail.split())[:MAX_DETAIL]
        said: dict[str, Any] = {"outcome": outcome, "detail": line, "retires": retires}
        said["foretold"] = bool(foretold)
        made = answers.requests[: _fitting(answers.requests)]
        if outcome != "diverged" and len(made) > len(self._foretold):
            self._foretold = made
            said["learned"] = [request.decode("ascii") for request in made]
        return said

    def foretell(self, requests: list[str]) -> None:
        """Take over what another checker learned."""
        self._foretold = [request.encode("ascii") for request in requests]

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
    """How many of the requests can be sent ahead."""
    total = 0
    for count, request in enumerate(requests):
        total += wire.HEADER_BYTES + len(request)
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


def serve(link: socket.socket, verdicts: socket.socket, tests: Tests | str, count: int) -> None:
    """Judge `count` samples that arrive over `link`; stop early after anything unusual."""
    for _ in range(count):
        data, (fd, *_), _, _ = socket.recv_fds(link, 256, 1)
        sample = json.loads(data)
        signal.setitimer(signal.ITIMER_REAL, sample["wall_s"] + GRACE_S)
        said: dict[str, Any]
        if isinstance(tests, str):
            said = {"outcome": "sandbox_error", "detail": tests, "retires": False, "foretold": False}
        else:
            said = tests.run(fd, sample["live"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        verdicts.send(json.dumps({"id": sample["id"], **said}).encode("ascii"))
        link.send(data)  # the candidate is not needed any more
        os.close(fd)
        if said["retires"]:
            return
