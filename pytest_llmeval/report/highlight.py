"""Python source as HTML in a few colours; Pygments reads it (pytest depends on it), nothing is executed."""

from __future__ import annotations

from functools import cache
from itertools import groupby
from typing import Any

from pytest_llmeval.printable import safe
from pytest_llmeval.report.text import html

MAX_CHARS = 8_000
"""Lexers are regular expressions, some of them slow on purpose-made text: longer sources should stay plain."""


def python(source: str) -> str:
    """A source of at most MAX_CHARS, escaped.

    Its spans have the class k (keyword), s (string), c (comment), n (number) or f (a name that is defined).
    """
    tokens = _lexer().get_tokens(safe(source))
    runs = groupby(((_kind(str(kind)), text) for kind, text in tokens), key=lambda pair: pair[0])
    return "".join(_span(kind, "".join(text for _, text in run)) for kind, run in runs)


@cache
def _lexer() -> Any:
    from pygments.lexers.python import PythonLexer

    return PythonLexer(stripnl=False, ensurenl=False)


def _kind(token: str) -> str:
    names = (
        ("Token.Keyword", "k"),
        ("Token.Operator.Word", "k"),
        ("Token.Literal.String", "s"),
        ("Token.Literal.Number", "n"),
        ("Token.Comment", "c"),
        ("Token.Name.Function", "f"),
        ("Token.Name.Class", "f"),
    )
    return next((kind for prefix, kind in names if token.startswith(prefix)), "")


def _span(kind: str, text: str) -> str:
    return f"<span class={kind}>{html(text)}</span>" if kind and text.strip() else html(text)
