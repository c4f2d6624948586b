"""Plain data as JSON: what may cross between the candidate's process and the checker's.

Exact builtin types are rebuilt as they were; instances of their subclasses collapse to the builtin;
numpy scalars become numbers. Anything else is `NotPlainData`. What decodes holds no code and no cycles,
and its size and depth are bounded, whoever wrote the message.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import Any

MAX_DEPTH = 150
MAX_BYTES = 16 << 20  # right answers of HumanEval+ take up to 12.5 MB
MAX_DRAWN = 10_000  # elements taken from an iterator before the rest is cut
_BIG = 1 << 62
# Not in ASCII: there two halves of a character, each an escape, are read as the whole, which they are not equal to.
_write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_TEXT = ("utf-8", "surrogatepass")
_SCALARS = frozenset((type(None), bool, str, float))
_INTEGERS = frozenset((int,))
_WRITTEN_AS_THEY_ARE = _SCALARS | _INTEGERS


class NotPlainData(Exception):
    """A value that cannot cross."""


class TooLarge(NotPlainData):
    """A value that could cross if there were less of it."""


class Malformed(Exception):
    """A message that this codec did not write."""


class IteratorCut(Exception):
    """An iterator was read further than it was copied."""


def dumps(value: Any) -> bytes:
    """The message for a JSON value that `encode` made; NotPlainData where it is too large."""
    try:
        data = _write(value).encode(*_TEXT)
    except (RecursionError, ValueError) as error:
        raise TooLarge(f"cannot be written: {error}") from None
    if len(data) > MAX_BYTES:
        raise TooLarge(f"{len(data)} bytes, {MAX_BYTES} can cross")
    return data


def loads(data: bytes) -> Any:
    """The JSON value of a message; Malformed for anything that is not one."""
    try:
        return json.loads(data.decode(*_TEXT))
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from None


def encode(value: Any, depth: int = 0) -> Any:
    """A JSON value for `value`; NotPlainData where it is, or holds, anything but plain data."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is int:
        return value if -_BIG < value < _BIG else {"i": hex(value)}
    if depth > MAX_DEPTH:
        raise TooLarge(f"nested deeper than {MAX_DEPTH}")
    if kind is list:
        return _items(value, depth)
    writer = _WRITERS.get(kind)
    if writer is not None:
        tag, write = writer
        return {tag: write(value, depth + 1)}
    return _encode_relative(value, depth)


def _items(values: Any, depth: int) -> list[Any]:
    kinds = set(map(type, values))
    if kinds <= _SCALARS:
        return list(values)
    if kinds == _INTEGERS and min(values) > -_BIG and max(values) < _BIG:
        return list(values)
    return [value if type(value) in _SCALARS else encode(value, depth + 1) for value in values]


def _pairs(pairs: Any, depth: int) -> list[Any]:
    return [[encode(key, depth), encode(value, depth)] for key, value in pairs]


def _encode_relative(value: Any, depth: int) -> Any:
    """Values whose exact type is not listed: relatives of builtins, iterators, numpy."""
    for base in _COLLAPSES_TO:
        if isinstance(value, base):
            return encode(_VALUE_OF.get(base, base)(value), depth)
    for base, tag, write in _VIEWS:
        if isinstance(value, base):
            return {tag: write(value, depth + 1)}
    if isinstance(value, Iterator):
        return {"n": _drawn(value, depth + 1)}
    return _encode_imported(value, depth)


def _encode_imported(value: Any, depth: int) -> Any:
    """Numbers and arrays of modules that exist here only if the program imported them."""
    fractions, decimal, numpy = (sys.modules.get(name) for name in ("fractions", "decimal", "numpy"))
    if fractions is not None and isinstance(value, fractions.Fraction):
        return {"F": [encode(value.numerator, depth), encode(value.denominator, depth)]}
    if decimal is not None and isinstance(value, decimal.Decimal):
        return {"D": str(value)}
    if numpy is not None and isinstance(value, numpy.generic):
        return encode(value.item(), depth + 1)
    if numpy is not None and isinstance(value, numpy.ndarray):
        if value.dtype.kind not in "biufcUS":
            raise NotPlainData(f"array of {value.dtype}")
        return {"a": [value.dtype.str, list(value.shape), _items(value.ravel().tolist(), depth + 1)]}
    raise NotPlainData(_name(value))


def _drawn(iterator: Iterator[Any], depth: int) -> list[Any]:
    """The iterator's elements and how it went on: "end", "cut", or the exception it raised."""
    elements: list[Any] = []
    try:
        for element in iterator:
            elements.append(encode(element, depth))
            if len(elements) == MAX_DRAWN:
                return [elements, "cut"]
    except (NotPlainData, MemoryError):
        raise
    except Exception as error:
        return [elements, encode_exception(error)]
    return [elements, "end"]


def _name(value: Any) -> str:
    name = type(value).__name__
    return name[:80] if type(name) is str else "object"


def decode(value: Any) -> Any:
    """The value that `encode` was given; Malformed or NotPlainData for what it never writes."""
    try:
        return _decode(value)
    except (NotPlainData, Malformed, MemoryError):
        raise
    except Exception as error:  # whatever the readers below make of what somebody else wrote
        raise Malformed(f"{type(error).__name__}: {error}"[:200]) from None


def _decode(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return [item if type(item) in _WRITTEN_AS_THEY_ARE else _decode(item) for item in value]
    if kind is not dict:
        return value
    if len(value) != 1:
        raise Malformed("a tag must stand alone")
    ((tag, body),) = value.items()
    reader = _READERS.get(tag)
    if reader is None:
        raise Malformed(f"unknown tag {tag[:20]!r}")
    return reader(body)


def _decoded_pairs(body: Any) -> list[Any]:
    return [(_decode(key), _decode(value)) for key, value in body]


def _decode_int(body: Any) -> int:
    if type(body) is not str:
        raise Malformed("an integer is written in hexadecimal")
    return int(body, 16)


def _decode_iterator(body: Any) -> Iterator[Any]:
    elements, end = body
    return _Replayed([_decode(element) for element in elements], end)


class _Replayed:
    """An iterator over copied elements that ends as the original did, or cannot say how it goes on."""

    def __init__(self, elements: list[Any], end: Any) -> None:
        self._elements = iter(elements)
        self._end: BaseException | None = None
        if end == "cut":
            self._end = IteratorCut(f"only the first {MAX_DRAWN} elements of an iterator can cross")
        elif end != "end":
            self._end = decode_exception(end)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        for element in self._elements:
            return element
        if self._end is not None:
            end, self._end = self._end, None
            raise end
        raise StopIteration


def _decode_fraction(body: Any) -> Any:
    from fractions import Fraction

    return Fraction(*map(_decode, body))


def _decode_decimal(body: Any) -> Any:
    from decimal import Decimal

    return Decimal(body)


def _decode_array(body: Any) -> Any:
    dtype, shape, elements = body
    if type(dtype) is not str or len(dtype) > 8 or dtype[1] not in "biufcUS":
        raise Malformed("unknown kind of array")
    try:
        import numpy
    except ImportError:
        raise NotPlainData("an array, where numpy is not declared") from None
    return numpy.array(_decode(elements), dtype=dtype).reshape(shape)


_WRITERS: dict[type, tuple[str, Callable[[Any, int], Any]]] = {
    tuple: ("t", _items),
    dict: ("d", lambda value, depth: _pairs(value.items(), depth)),
    set: ("s", _items),
    frozenset: ("z", _items),
    bytes: ("b", lambda value, _: value.hex()),
    bytearray: ("B", lambda value, _: value.hex()),
    complex: ("c", lambda value, _: [value.real, value.imag]),
    range: ("r", lambda value, depth: [encode(n, depth) for n in (value.start, value.stop, value.step)]),
    deque: ("q", lambda value, depth: [_items(value, depth), value.maxlen]),
    Counter: ("C", lambda value, depth: _pairs(value.items(), depth)),
    OrderedDict: ("O", lambda value, depth: _pairs(value.items(), depth)),
}
_VIEWS: tuple[tuple[Any, str, Callable[[Any, int], Any]], ...] = (
    (KeysView, "K", _items),
    (ValuesView, "V", _items),
    (ItemsView, "I", _pairs),
)
_READERS: dict[str, Callable[[Any], Any]] = {
    "i": _decode_int,
    "t": lambda body: tuple([_decode(item) for item in body]),
    "d": lambda body: dict(_decoded_pairs(body)),
    "s": lambda body: {_decode(item) for item in body},
    "z": lambda body: frozenset([_decode(item) for item in body]),
    "b": lambda body: bytes.fromhex(body),
    "B": lambda body: bytearray.fromhex(body),
    "c": lambda body: complex(*map(float, body)),
    "r": lambda body: range(*map(_decode, body)),
    "q": lambda body: deque([_decode(item) for item in body[0]], body[1]),
    "F": _decode_fraction,
    "D": _decode_decimal,
    "C": lambda body: Counter(dict(_decoded_pairs(body))),
    "O": lambda body: OrderedDict(_decoded_pairs(body)),
    "K": lambda body: dict.fromkeys([_decode(item) for item in body]).keys(),
    "V": lambda body: dict(enumerate([_decode(item) for item in body])).values(),
    "I": lambda body: dict(_decoded_pairs(body)).items(),
    "n": _decode_iterator,
    "a": _decode_array,
}
_COLLAPSES_TO: tuple[Any, ...] = (
    int, float, complex, str, bytes, bytearray, Counter, OrderedDict, dict, deque, tuple, list,
    set, frozenset,
)  # fmt: skip
# What a subclass says of itself need not be what it is: str() of an Enum's member is its name.
_VALUE_OF: dict[Any, Callable[[Any], Any]] = {
    int: int.__index__, float: float.__float__, str: str.__str__,
}  # fmt: skip


# ---------------------------------------------------------------- exceptions

_BUILTIN_EXCEPTIONS = {
    name: value
    for name, value in vars(__import__("builtins")).items()
    if isinstance(value, type) and issubclass(value, BaseException) and "Group" not in name
}
_TEXT_KEPT = 500


def encode_exception(error: BaseException) -> list[Any]:
    """Its nearest builtin class, its own class's name, its text, and its arguments where they are scalar."""
    builtin = next(
        (k.__name__ for k in type(error).__mro__ if _BUILTIN_EXCEPTIONS.get(k.__name__) is k), "Exception"
    )
    try:
        text = str(error)
        text, arguments = text[:_TEXT_KEPT] if type(text) is str else "", error.args
    except BaseException:
        text, arguments = "", ()
    scalar = type(arguments) is tuple and all(type(a) in _SCALARS or type(a) is int for a in arguments)
    if not scalar or len(arguments) > 4:
        arguments = (text,)
    return [builtin, _name(error), text, [a[:_TEXT_KEPT] if type(a) is str else a for a in arguments]]


def decode_exception(body: Any) -> BaseException:
    """An exception of the builtin class that was named, or Malformed."""
    try:
        builtin, own_name, text, arguments = body
        kind = _BUILTIN_EXCEPTIONS[builtin]
        if type(own_name) is not str or type(text) is not str or type(arguments) is not list:
            raise Malformed("an exception is a class and texts")
        if any(type(a) not in _SCALARS and type(a) is not int for a in arguments):
            raise Malformed("arguments of an exception are scalars")
    except (TypeError, ValueError, KeyError) as error:
        raise Malformed(f"exception: {error!r}") from None
    try:
        return kind(*arguments)
    except (TypeError, OverflowError):  # UnicodeDecodeError and the like ask for five arguments
        return next(base for base in kind.__mro__ if base in (ValueError, Exception, BaseException))(text)
