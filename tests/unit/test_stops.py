"""Stop strings: where an answer is cut, whatever the pieces it came in."""

from __future__ import annotations

import pytest

from pytest_llmeval.engines.stops import Watch, before_first


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [
        ("abcdef", (), "abcdef"),
        ("abcdef", ("x",), "abcdef"),
        ("abcdef", ("de", "b"), "a"),
        ("abab", ("ab",), ""),
    ],
)
def test_an_answer_ends_before_the_first_stop_string(text, stop, kept):
    assert before_first(text, stop) == kept


@pytest.mark.parametrize("size", range(1, 7))
@pytest.mark.parametrize("stop", [("c",), ("bcd",), ("zz", "def")])
def test_a_stop_string_is_seen_in_pieces_of_any_size(size, stop):
    pieces = ["abcdef"[start : start + size] for start in range(0, 6, size)]
    watch = Watch(stop)
    seen = [watch.sees(piece) for piece in pieces]
    end = "abcdef".find(stop[-1]) + len(stop[-1])
    assert seen.index(True) == (end - 1) // size


def test_without_stop_strings_nothing_is_seen():
    watch = Watch(())
    assert not any(watch.sees(piece) for piece in ("a", "", "b"))
