"""Which of an answer's candidate programs is meant: a rule that looks at texts, never at a verdict."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pytest_llmeval.extraction.draft import Draft


def choose(drafts: Sequence[Draft]) -> Draft | None:
    """The last of the drafts (models correct themselves downwards) that is whole.

    Whole means: it leaves nothing out with `...`, is no excerpt of another draft, and names nothing that is
    defined nowhere. Where no draft meets a condition, the condition is dropped.
    """
    remaining = list(drafts)
    for condition in (_spelt_out, _no_excerpt, _nothing_missing):
        remaining = [draft for draft in remaining if condition(draft, remaining)] or remaining
    return remaining[-1] if remaining else None


def _spelt_out(draft: Draft, _: Sequence[Draft]) -> bool:
    return not draft.entry.elided


def _nothing_missing(draft: Draft, _: Sequence[Draft]) -> bool:
    return not draft.missing


def _no_excerpt(draft: Draft, rivals: Sequence[Draft]) -> bool:
    return not any(_is_excerpt(draft, rival) for rival in rivals)


def _is_excerpt(draft: Draft, whole: Draft) -> bool:
    """True where the draft's entry point only repeats the beginning of the other's: a step of an explanation.

    A correction that removes lines still ends as the original did, or differs somewhere before.
    """
    part, other = _lines(draft), _lines(whole)
    return len(part) < len(other) and part[-1] != other[-1] and _in_order(part, other)


def _lines(draft: Draft) -> list[str]:
    """The entry point's code, line by line, without comments and layout."""
    return [line.strip() for line in ast.unparse(draft.entry.node).splitlines()]


def _in_order(part: Sequence[str], other: Sequence[str]) -> bool:
    remaining = iter(other)
    return all(line in remaining for line in part)
