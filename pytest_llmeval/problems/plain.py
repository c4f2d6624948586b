"""Plain data as JSON text: arguments and right answers, on disk and inside tests.

This source is also part of generated tests, where nothing of this package exists: standard library only.
"""

import json
from typing import Any

BIG = 1 << 62  # integers beyond it are written in hexadecimal: Python refuses to parse long decimals


class Unplain(Exception):
    """A value that has no plain form; says what it is."""


def dumps(value: Any) -> str:
    """The text of a value. Instances of subclasses become their builtin.

    Raises:
        Unplain: it is, or holds, something else than numbers, texts, bytes, None and collections of them.
    """
    return json.dumps(encoded(value), separators=(",", ":"))


def loads(text: str) -> Any:
    """The value of a text that `dumps` wrote: new objects each time."""
    return decoded(json.loads(text))


def encoded(value: Any) -> Any:
    """A value as JSON can hold it: what JSON lacks becomes an object with one key, its tag."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value) if -BIG < value < BIG else {"i": hex(value)}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    for kind, tag in (tuple, "t"), (set, "s"), (frozenset, "f"):
        if isinstance(value, kind):
            return {tag: [encoded(item) for item in value]}
    if isinstance(value, dict):
        return {"d": [[encoded(key), encoded(item)] for key, item in value.items()]}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    if isinstance(value, bytes):
        return {"b": value.hex()}
    raise Unplain(type(value).__name__)


def decoded(value: Any) -> Any:
    """What `encoded` was given."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, body),) = value.items()
    match tag:
        case "i":
            return int(body, 16)
        case "c":
            return complex(*body)
        case "b":
            return bytes.fromhex(body)
        case "d":
            return {decoded(key): decoded(item) for key, item in body}
        case _:
            kinds: dict[str, type] = {"t": tuple, "s": set, "f": frozenset}
            return kinds[tag](decoded(item) for item in body)
