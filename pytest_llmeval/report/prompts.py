"""What was sent, for people: long prompts shortened, and what was cut of them in one line."""

from __future__ import annotations

from pytest_llmeval.schema import Cut, Prompt

SHOWN_CHARACTERS = 6_000  # of a prompt at each end: a page of 100,000-token prompts would open in no browser


def shown(prompt: Prompt) -> str:
    """The prompt's text with the words around it; the middle of a long one is left out."""
    text, left_out = prompt.text, len(prompt.text) - 2 * SHOWN_CHARACTERS
    if left_out > 0:
        text = (
            f"{text[:SHOWN_CHARACTERS]}\n[… {left_out:,} characters are not shown here; results.jsonl has "
            f"them …]\n{text[-SHOWN_CHARACTERS:]}"
        )
    system = f"[system] {prompt.system}\n\n" if prompt.system else ""
    prefill = f"\n\n[the answer begins] {prompt.assistant_prefill}" if prompt.assistant_prefill else ""
    return f"{system}{text}{prefill}"


def cut_line(cut: Cut) -> str:
    """`head_tail: 70,012 → 1,604 tokens of the text; characters 0–5,231 and 238,120–239,801 were sent`."""
    before, after = (_count(tokens) for tokens in (cut.tokens_before, cut.tokens_after))
    kept = " and ".join(f"{start:,}–{end:,}" for start, end in cut.kept)
    window = f", window {cut.window + 1} of {cut.windows}" if cut.windows > 1 else ""
    return f"{cut.strategy}{window}: {before} → {after} tokens of the text; characters {kept} were sent"


def _count(tokens: int | None) -> str:
    return "not counted" if tokens is None else f"{tokens:,}"
