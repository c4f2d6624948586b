"""What was cut of a prompt, for people."""

from __future__ import annotations

from pytest_llmeval.schema import Cut


def cut_line(cut: Cut) -> str:
    """`head_tail: 70,012 → 1,604 tokens of the text; characters 0–5,231 and 238,120–239,801 were sent`."""
    before, after = (_count(tokens) for tokens in (cut.tokens_before, cut.tokens_after))
    kept = " and ".join(f"{start:,}–{end:,}" for start, end in cut.kept)
    window = f", window {cut.window + 1} of {cut.windows}" if cut.windows > 1 else ""
    return f"{cut.strategy}{window}: {before} → {after} tokens of the text; characters {kept} were sent"


def _count(tokens: int | None) -> str:
    return "not counted" if tokens is None else f"{tokens:,}"
