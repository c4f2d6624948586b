"""Who starts when: nobody shares a place, nobody starves, nothing lies idle for nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmeval.placement import ELSEWHERE, Need, Place, starts, why_never
from pytest_llmeval.units import GIB

FOUR = tuple(Place(name) for name in "0123")
MIXED = (Place("0", 80 * GIB), Place("1", 24 * GIB), Place("2", 24 * GIB), Place(ELSEWHERE))


def told(line, places, taken=()):
    """`{"a": "01"}`: who starts, and on which places."""
    found = starts(line, places, set(taken))
    return {one.need.model: "".join(place.name for place in one.places) for one in found}


def test_models_start_in_the_order_of_the_line_while_places_last():
    line = [Need("a"), Need("b", 2), Need("c"), Need("d")]
    assert told(line, FOUR) == {"a": "0", "b": "12", "c": "3"}


def test_nobody_overtakes_on_a_place_that_somebody_ahead_waits_for():
    assert told([Need("all", 4), Need("small")], FOUR, "0") == {}
    assert told([Need("three", 3), Need("small")], FOUR, "01") == {}


def test_what_nobody_ahead_waits_for_does_not_lie_idle():
    pinned = Need("pinned", only=frozenset("3"))
    assert told([pinned, Need("b"), Need("c", 2)], FOUR, "3") == {"b": "0", "c": "12"}


def test_a_model_that_tests_use_never_starts_before_one_ahead_of_it():
    """It stays open until its tests have run, which may come behind the tests of the other."""
    pinned = Need("pinned", only=frozenset("3"))
    assert told([pinned, Need("kept", kept=True), Need("c")], FOUR, "3") == {"c": "1"}
    assert told([Need("kept", kept=True), Need("c", kept=True)], FOUR) == {"kept": "0", "c": "1"}


def test_a_small_model_leaves_the_large_device_to_those_who_need_it():
    line = [Need("small", memory_bytes=10 * GIB), Need("large", memory_bytes=60 * GIB)]
    assert told(line, MIXED) == {"small": "1", "large": "0"}


def test_models_that_take_no_device_run_one_at_a_time_beside_the_others():
    served = [Need(name, only=frozenset({ELSEWHERE})) for name in ("s", "t")]
    assert told([*served, Need("a", memory_bytes=10 * GIB)], MIXED) == {"s": ELSEWHERE, "a": "1"}


@pytest.mark.parametrize(
    ("need", "reason"),
    [
        (Need("m", 5), "needs 5 devices at a time; --llmeval-devices gives it 3, 80 GiB at most"),
        (
            Need("m", 2, 60 * GIB),
            "needs 2 devices at a time with 60 GiB each; --llmeval-devices gives it 3, 80 GiB at most",
        ),
        (
            Need("m", memory_bytes=141 * GIB),
            "needs 1 device with 141 GiB; --llmeval-devices gives it 3, 80 GiB at most",
        ),
        (Need("m", only=frozenset({"7"})), "its entry names the devices 7; --llmeval-devices leaves out 7"),
        (Need("m", 2, only=frozenset({"1"})), "needs 2 devices; its entry's CUDA_VISIBLE_DEVICES names 1"),
        (Need("m", 2, 20 * GIB), None),
        (Need("m", only=frozenset({ELSEWHERE})), None),
    ],
)
def test_a_model_that_will_never_fit_is_told_why(need, reason):
    assert why_never(need, MIXED) == reason


# ---------------------------------------------------------------------- any line, any machine, any order of ending

SIZES = st.sampled_from([8, 24, 80])


@st.composite
def machines(draw):
    """Places of different sizes, and a line of models that all fit on them."""
    places = tuple(Place(str(n), draw(SIZES) * GIB) for n in range(draw(st.integers(1, 6))))
    line = []
    for number in range(draw(st.integers(0, 10))):
        count, size = draw(st.integers(1, len(places))), draw(st.integers(0, 80)) * GIB
        only = draw(st.none() | st.sets(st.sampled_from([p.name for p in places]), min_size=1).map(frozenset))
        need = Need(f"m{number}", count, size, only, kept=draw(st.booleans()))
        line.append(need if why_never(need, places) is None else replace(need, places=1, memory_bytes=0))
    return places, line


@given(machines(), st.randoms(use_true_random=False))
def test_every_model_starts_once_and_no_place_is_held_twice(machine, chance):
    """Whichever model ends first: until the line is empty somebody starts or runs, and nobody shares a place."""
    places, line = machine
    running, started = {}, []
    while line or running:
        for one in starts(line, places, {name for names in running.values() for name in names}):
            names = {place.name for place in one.places}
            assert len(names) == one.need.places
            assert not names & {name for held in running.values() for name in held}
            assert all(one.need.fits(place) for place in one.places)
            running[one.need.model] = names
            started.append(one.need.model)
            line = [need for need in line if need.model != one.need.model]
        assert running, f"nobody runs, and these never start: {line}"
        del running[chance.choice(sorted(running))]
    assert len(set(started)) == len(started)


@given(machines(), st.randoms(use_true_random=False))
def test_the_first_of_the_line_is_never_kept_waiting_by_those_behind_it(machine, chance):
    """Places it can have only grow in number while it waits: nobody behind it takes one."""
    places, line = machine
    if not line:
        return
    first = line[0]
    taken = {place.name for place in places if chance.random() < 0.7}
    fitting = {place.name for place in places if first.fits(place)}
    others = {
        place.name for one in starts(line, places, taken) if one.need is not first for place in one.places
    }
    waits = first.model not in told(line, places, taken)
    if waits and len(fitting - taken) < first.places:
        assert not others & fitting
