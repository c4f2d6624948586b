"""Removes what a model thought aloud before, or between, what it answered."""

from __future__ import annotations

import re

_WORDS = (
    "think|thinking|thought|thoughts|reason|reasoning|reflection|analysis|scratchpad|inner_monologue|"
    "internal_monologue|chain_of_thought|cot|planning|seed:think"
)
_OPENING = (
    rf"<(?:{_WORDS})(?:\s[^<>\n]{{0,200}})?>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
    r"|<\|channel\|>(?:analysis|commentary)[^<\n]{0,200}<\|message\|>|<unused94>"
)
_CLOSING = (
    rf"</(?:{_WORDS})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>"
    r"|<\|channel\|>final[^<\n]{0,200}<\|message\|>|<unused95>"
)
_TURN_END = r"<\|end\|>"
_MARK = re.compile(
    f"(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})|(?P<turn_end>{_TURN_END})", re.IGNORECASE
)


def split_reasoning(text: str) -> tuple[str, str]:
    """The answer without its reasoning blocks, and an unclosed block's text ("" where all are closed).

    A closing mark without an opening one ends a block that the chat template opened; the end of a turn does
    not, because it also ends answers.
    """
    answer: list[str] = []
    depth, position = 0, 0
    for mark in _MARK.finditer(text):
        if mark["opening"]:
            if depth == 0:
                answer.append(text[position : mark.start()])
            depth += 1
        elif depth == 0:
            if mark["turn_end"]:
                continue
            answer.clear()
        else:
            depth -= 1
        if depth == 0 or mark["opening"]:
            position = mark.end()
    if depth == 0:
        answer.append(text[position:])
        return "\n".join(answer), ""
    return "\n".join(answer), text[position:]
