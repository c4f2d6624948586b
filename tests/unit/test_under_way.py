"""The most requests at a time while one of them was under way, against counting it the long way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmeval.engines.under_way import UnderWay


def test_who_began_alone_had_the_company_that_came_later():
    under_way = UnderWay()
    first, second = under_way.begins(), under_way.begins()
    under_way.ends()
    third = under_way.begins()
    assert [under_way.most_since(begun) for begun in (first, second, third)] == [2, 2, 2]
    under_way.ends()
    under_way.ends()
    assert under_way.most_since(under_way.begins()) == 1


@given(st.lists(st.integers(0, 9)))
def test_it_is_the_most_of_each_ones_time(steps):
    """0 to 4 begin one, the others end one of those under way."""
    under_way, live = UnderWay(), {}
    for step in steps:
        if step < 5:
            live[under_way.begins()] = 0
            live = {begun: max(most, len(live)) for begun, most in live.items()}
        elif live:
            begun = list(live)[step % len(live)]
            assert under_way.most_since(begun) == live.pop(begun)
            under_way.ends()
