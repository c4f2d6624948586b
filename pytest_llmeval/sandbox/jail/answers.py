"""The function under test, as tests see it: its calls cross to the candidate's process and back.

What tests were seen to ask is sent ahead in bulk, and answered in chunks; then a call costs a few microseconds
instead of a round trip between two processes. The candidate answers in order, so an answer is the same
whether its call was sent ahead or not.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import socket
import struct
from collections import deque
from typing import Any

from . import codec, wire

BLOCK_BYTES = 256 << 10  # of calls sent ahead at a time
_UNSHARED = 2  # marshal's last version whose bytes depend on values alone


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


class Calls:
    """Calls that a problem's tests made, in order: to be sent ahead, and known again when they are made."""

    def __init__(self, keys: list[bytes], requests: list[bytes]) -> None:
        self.keys, self.requests = keys, requests
        self.blocks: dict[int, bytes] = {}  # by the call that each begins with
        start, total = 0, 0
        for index, request in enumerate(requests):
            total += len(request)
            if total > BLOCK_BYTES and index > start:
                self.blocks[start] = _block(requests[start:index])
                start, total = index, len(request)
        if requests:
            self.blocks[start] = _block(requests[start:])

    def __len__(self) -> int:
        return len(self.keys)

    def dump(self) -> bytes:
        """For `load` in another process of this trusted side."""
        return marshal.dumps((self.keys, self.requests))

    @staticmethod
    def load(data: bytes) -> Calls:
        return Calls(*marshal.loads(data))


NO_CALLS = Calls([], [])


def _block(requests: list[bytes]) -> bytes:
    return wire.block(b"[" + b",".join(requests) + b"]")


class Answers:
    """Stands for the candidate's function in the tests of one sample."""

    def __init__(
        self,
        fd: int,
        writes_back: bool,
        foretold: Calls,
        opaque: bool = False,
        call_s: float | None = None,
        patience: float = 1.0,
    ) -> None:
        """`call_s` is how long one call may take, `patience` times that on a busy machine.

        `opaque`: an answer need not be plain data.
        """
        self._fd = fd
        self._opaque = opaque
        self._call_s = call_s
        if call_s is not None:
            limit_waiting(fd, call_s * patience + wire.CHUNK_S)
        self._replies = wire.Blocks(fd, codec.MAX_BYTES + 4096)
        self._ready: deque[Any] = deque()
        self._writes_back = writes_back
        self._stop: Stop | None = None
        self._foretold = foretold
        self.keys: list[bytes] = []  # of the calls that were not foretold
        self.requests: list[bytes] = []
        self.calls = 0
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self.result: Any = None
        self.raised: BaseException | None = None
        self.raised_text = ""
        self._send_ahead(0)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if self._stop is not None:
            raise self._stop
        self.arguments, self.result = (arguments, keywords), None
        try:
            self._ask(arguments, keywords)
            reply = self._reply()
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
            self._write(wire.block(b"[null]"))
            self._answer(self._reply(), ())

    def _ask(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        index, key = self.calls, _key(arguments, keywords)
        if index < len(self._foretold):
            if (key or self._request(arguments, keywords)) != self._foretold.keys[index]:
                raise Stop("diverged", "its answers changed the calls")
            if index:
                self._send_ahead(index)
            return
        request = self._request(arguments, keywords)
        self.keys.append(key or request)
        self.requests.append(request)
        self._write(wire.block(b"[" + request + b"]"))

    def _send_ahead(self, index: int) -> None:
        """The block that begins with this call, once the one before is answered: both sides never write at once."""
        block = self._foretold.blocks.get(index)
        if block is not None:
            with contextlib.suppress(Stop):  # noticed where the answer is missing
                self._write(block)

    def _write(self, data: bytes) -> None:
        try:
            wire.write_all(self._fd, data)
        except ConnectionError:
            raise Stop("ended", "the program's process ended") from None

    def _request(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
        try:
            return codec.dumps(codec.encode([list(arguments), keywords] if keywords else [list(arguments)]))
        except codec.TooLarge as error:
            # Only answers that the tests pass on can grow like this.
            outcome = "wrong_answer" if self.calls else "sandbox_error"
            raise Stop(outcome, f"arguments cannot cross: {error}") from None
        except codec.NotPlainData as error:
            if self._opaque and str(error) == Opaque.__name__:
                raise Stop(
                    "wrong_answer", "not_plain_data: an answer that cannot cross is passed on"
                ) from None
            raise Stop(
                "sandbox_error", f"the tests pass a {error}, which cannot cross: declare the problem inline"
            ) from None

    def _reply(self) -> Any:
        if not self._ready:
            try:
                replies = codec.loads(self._replies.next())
            except BlockingIOError:
                raise Stop("timeout", f"no answer to one call within {self._call_s:g} s") from None
            except (EOFError, ConnectionError):
                raise Stop("ended", "the program's process ended") from None
            except (ValueError, codec.Malformed) as error:
                raise Stop("forged", f"malformed answer: {error}", retires=True) from None
            if type(replies) is not list or not replies:
                raise Stop("forged", "malformed answer", retires=True)
            self._ready.extend(replies)
        return self._ready.popleft()

    def _answer(self, reply: Any, arguments: tuple[Any, ...]) -> Any:
        try:
            match reply:
                case ["p"]:
                    return None
                case ["r", body, *written] if len(written) == self._writes_back:
                    self.result = codec.decode(body)
                    if written:
                        self._write_back(arguments, codec.decode(written[0]))
                    return self.result
                case ["e", body]:
                    self.raised = _ends_no_loop(codec.decode_exception(body))
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

    def _write_back(self, arguments: tuple[Any, ...], written: Any) -> None:
        if type(written) is not list or len(written) != len(arguments):
            raise codec.Malformed("arguments")
        for mine, theirs in zip(arguments, written, strict=True):
            write_back(mine, theirs)


def _ends_no_loop(error: BaseException) -> BaseException:
    """As generators do (PEP 479): `all(map(candidate, …))` would take it for the end of what there is to ask."""
    return RuntimeError("the program raised StopIteration") if isinstance(error, StopIteration) else error


def limit_waiting(fd: int, seconds: float) -> None:
    """Make every read of a socket that has to wait longer fail with BlockingIOError."""
    whole = int(seconds)
    with socket.socket(fileno=os.dup(fd)) as channel:
        timeval = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


def _key(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
    """Tells calls apart at a tenth of what writing them for the candidate costs; b"" where it cannot."""
    try:
        return marshal.dumps((arguments, keywords) if keywords else arguments, _UNSHARED)
    except ValueError:  # a kind of value that is not in the language itself
        return b""


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
        mine.clear()
        mine.update(theirs)
    elif type(mine) is set:
        mine.clear()
        mine.update(theirs)
    elif type(mine) in (bytearray, deque):
        mine.clear()
        mine.extend(theirs)
