"""Text of a model in a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmeval.report.text import safe


def test_control_and_bidi_characters_are_spelled():
    assert safe("a\x1b[31mb\u202ec\ud800\x00") == "a\\x1b[31mb\\u202ec\\ud800\\x00"
    assert safe("def f():\n\treturn 'é'") == "def f():\n\treturn 'é'"


@given(st.text(st.characters(codec=None)))
def test_what_is_left_can_be_printed_and_encoded(text):
    shown = safe(text)
    shown.encode("utf-8")
    assert all(c.isprintable() or c in "\n\t" or c.isspace() for c in shown)
