"""Tables in terminals of any width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmeval.report.columns import fitted, wrapped

ROWS = [
    ("model", "status", "pass@1", "response", "energy"),
    ("good", "complete", "81.1 %", "0.50 s", "not available"),
    ("a_longer_name", "complete", "7.0 %", "not measured", "not available"),
]


def test_a_table_that_fits_is_one_table_and_columns_without_a_figure_are_a_line():
    assert fitted(ROWS, 80) == [
        "model            status  pass@1      response",
        "good           complete  81.1 %        0.50 s",
        "a_longer_name  complete   7.0 %  not measured",
        "not available: energy",
    ]


def test_a_table_that_is_too_wide_goes_on_below_and_names_its_rows_again():
    assert fitted(ROWS, 32)[:6] == [
        "model            status  pass@1",
        "good           complete  81.1 %",
        "a_longer_name  complete   7.0 %",
        "model              response",
        "good                 0.50 s",
        "a_longer_name  not measured",
    ]


def test_a_column_without_a_figure_takes_no_other_of_its_name_along():
    rows = [("model", "first", "p95", "between", "p95"), ("a", "1 s", "2 s", "3 s", "not available")]
    assert fitted(rows, 80) == [
        "model  first  p95  between",
        "a        1 s  2 s      3 s",
        "not available: p95",
    ]


cells = st.text("abc ", min_size=1, max_size=12).map(str.strip).filter(bool)
tables = st.integers(2, 7).flatmap(lambda n: st.lists(st.tuples(*[cells] * n), min_size=2, max_size=5))


@given(tables, st.integers(26, 120))
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_lost(rows, width):
    lines = fitted(rows, width)  # a name and one column take at most 26
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert all(cell in text for row in rows for cell in row)


def test_text_is_wrapped_at_spaces_and_a_long_word_is_left_whole():
    assert wrapped("one two three", 9) == ["one two", "  three"]
    assert wrapped("/a/very/long-path/to/somewhere", 10) == ["/a/very/long-path/to/somewhere"]
