"""Text of a model in a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmeval.printable import printed, safe


def test_control_and_bidi_characters_are_spelled():
    assert safe("a\x1b[31mb\u202ec\ud800\x00") == "a\\x1b[31mb\\u202ec\\ud800\\x00"
    assert safe("def f():\n\treturn 'é'") == "def f():\n\treturn 'é'"


@given(st.text(st.characters(codec=None)))
def test_what_is_left_can_be_printed_and_encoded(text):
    shown = safe(text)
    shown.encode("utf-8")
    assert all(c.isprintable() or c in "\n\t" or c.isspace() for c in shown)


@given(st.text("ab:#[]\n\r \x1b\u2028"))
def test_no_line_of_a_log_is_a_command_to_a_github_job(text):
    """The runner takes `::name::` at the beginning of a line, and `##[name]` anywhere in it."""
    told = printed(text)
    assert "##[" not in told
    assert not any(line.lstrip().startswith("::") for line in told.splitlines())
