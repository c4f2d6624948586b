"""Plain data crosses unchanged; nothing else crosses, whoever wrote the message."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque, namedtuple
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmeval.sandbox.jail import codec

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.fractions()
    | st.decimals(allow_nan=False)
)
HASHABLE = st.recursive(
    SCALARS, lambda inner: st.tuples(inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
PLAIN = st.recursive(
    HASHABLE | st.builds(range, st.integers(-9, 9), st.integers(-9, 9)) | st.builds(bytearray, st.binary()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
        | st.builds(deque, st.lists(inner, max_size=3), st.just(5))
        | st.builds(OrderedDict, st.lists(st.tuples(HASHABLE, inner), max_size=3))
    ),
    max_leaves=12,
)
TAGS = st.sampled_from("itdszbBcrqFDCOKVInaxy")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TAGS, inner, max_size=2),
    max_leaves=8,
)  # fmt: skip


def crossed(value: Any) -> Any:
    return codec.decode(codec.loads(codec.dumps(codec.encode(value))))


def same_types(one: Any, other: Any) -> bool:
    """Equal in type all the way down, where order is defined."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return all(same_types(a, b) for a, b in zip(one.items(), other.items(), strict=True))
    if isinstance(one, list | tuple | deque):
        return all(same_types(a, b) for a, b in zip(one, other, strict=True))
    return True


@given(PLAIN)
@settings(max_examples=300, deadline=None)
def test_plain_data_crosses_unchanged(value: Any) -> None:
    back = crossed(value)
    assert back == value
    assert same_types(value, back)


@given(JSON)
@settings(max_examples=500, deadline=None)
def test_whatever_a_candidate_writes_decodes_to_plain_data_or_is_refused(message: Any) -> None:
    try:
        value = codec.decode(message)
    except (codec.Malformed, codec.NotPlainData):
        return
    assert type(value).__module__ in ("builtins", "collections", "fractions", "decimal", codec.__name__)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0])
def test_unusual_floats_cross(value: float) -> None:
    back = crossed(value)
    assert repr(back) == repr(value)


def test_halves_of_a_character_do_not_become_one() -> None:
    """In JSON's escapes two of them are the same as the whole; in Python they are not equal to it."""
    texts = ["\ud83d\ude00", "\ude00\ud83d", "\U0001f600"]
    assert crossed(texts) == texts


def test_subclasses_collapse_to_builtins() -> None:
    colour = IntEnum("colour", "RED")
    point = namedtuple("point", "x y")

    class Liar(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    class Shade(str, Enum):  # noqa: UP042 -- its str() is its name, a StrEnum's is not
        DARK = "dark"

    class Half(float):
        def __float__(self) -> float:
            return 2.0

    cases = ((colour.RED, 1), (point(1, 2), (1, 2)), (Liar(7), 7), (Shade.DARK, "dark"), (Half(0.5), 0.5))
    for value, plain in cases:
        back = crossed([value])[0]
        assert type(back) is type(plain)
        assert back == plain


def test_views_and_counters_keep_their_kind() -> None:
    source = {"a": 1, "b": 2}
    assert crossed(source.keys()) == {"a", "b"}
    assert list(crossed(source.values())) == [1, 2]
    assert crossed(source.items()) == source.items()
    assert crossed(Counter("aab"))["missing"] == 0


def test_iterators_are_copied_up_to_a_bound() -> None:
    assert list(crossed(n * n for n in range(5))) == [0, 1, 4, 9, 16]
    endless = crossed(iter(int, 1))
    assert [next(endless) for _ in range(10)] == [0] * 10
    with pytest.raises(codec.IteratorCut):
        list(endless)


def test_an_iterator_that_fails_does_so_at_the_same_element() -> None:
    def three_then_error() -> Any:
        yield from (1, 2, 3)
        raise KeyError("end")

    copied = crossed(three_then_error())
    assert [next(copied), next(copied), next(copied)] == [1, 2, 3]
    with pytest.raises(KeyError, match="end"):
        next(copied)


def test_numpy_values_cross_as_numbers_and_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    assert type(crossed(numpy.float64(1.5))) is float
    assert type(crossed(numpy.int32(3))) is int
    assert crossed(numpy.bool_(True)) is True
    back = crossed(numpy.arange(6).reshape(2, 3))
    assert back.shape == (2, 3)
    assert back.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(codec.NotPlainData, match="array"):
        crossed(numpy.array([object()]))


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 1, codec, int, open, NotImplemented, [print]],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_cannot_cross(value: Any) -> None:
    with pytest.raises(codec.NotPlainData):
        codec.encode(value)


def test_size_and_depth_are_bounded() -> None:
    deep: list[Any] = []
    for _ in range(codec.MAX_DEPTH + 2):
        deep = [deep]
    with pytest.raises(codec.TooLarge, match="nested"):
        codec.encode(deep)
    with pytest.raises(codec.TooLarge, match="bytes"):
        codec.dumps("x" * (codec.MAX_BYTES + 1))
    looped: list[Any] = []
    looped.append(looped)
    with pytest.raises(codec.TooLarge):
        codec.encode(looped)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"i": 5}',
        b'{"t": 1}',
        b'{"a": ["O", [1], [1]]}',
        b"1" * 5000,
        b'{"i": "1", "t": []}',
        b'{"s": [[1]]}',
        b'{"a": ["<f8", [5, 3], []]}',
        b'{"F": [1, 0]}',
    ],
    ids=lambda data: repr(data[:20]),
)
def test_malformed_messages_are_refused(data: bytes) -> None:
    with pytest.raises((codec.Malformed, codec.NotPlainData)):
        codec.decode(codec.loads(data))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("text"),
        KeyError("k"),
        ZeroDivisionError("division by zero"),
        SystemExit(0),
        StopIteration(3),
        IndexError(),
        OSError(2, "gone"),
        MemoryError(),
    ],
    ids=repr,
)
def test_builtin_exceptions_cross_with_their_text(error: BaseException) -> None:
    back = codec.decode_exception(codec.loads(codec.dumps(codec.encode_exception(error))))
    assert type(back) is type(error)
    assert str(back) == str(error)


def test_other_exceptions_become_their_nearest_builtin() -> None:
    class Lying(LookupError):
        __class__ = property(lambda self: KeyboardInterrupt)  # type: ignore[assignment]

        def __str__(self) -> str:
            raise RuntimeError

    back = codec.decode_exception(codec.encode_exception(Lying("x")))
    assert type(back) is LookupError
    unicode = codec.decode_exception(
        codec.encode_exception(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"))
    )
    assert isinstance(unicode, ValueError)


@pytest.mark.parametrize(
    "arguments", [["utf-8", "x", 1 << 70, 1, "bad"], ["utf-8", "x", 0, 1, "bad"], ["x", 1, 2, "bad"], []]
)
@pytest.mark.parametrize("kind", ["UnicodeEncodeError", "UnicodeTranslateError", "UnicodeDecodeError"])
def test_an_exception_whose_arguments_do_not_fit_is_still_one(kind: str, arguments: list[Any]) -> None:
    assert isinstance(codec.decode_exception([kind, kind, "text", arguments]), ValueError)


@pytest.mark.parametrize(
    "body", [None, [], ["Nope", "x", "y", []], ["ValueError", "x", "y", [[1]]], [[], 1, 2, 3]]
)
def test_malformed_exceptions_are_refused(body: Any) -> None:
    with pytest.raises(codec.Malformed):
        codec.decode_exception(body)


def test_exact_types_are_told_apart() -> None:
    assert [type(crossed(v)) for v in (True, 1, 1.0, Fraction(1), Decimal(1))] == [
        bool,
        int,
        float,
        Fraction,
        Decimal,
    ]
