"""Which of an answer's candidate programs is meant: a rule that looks at texts, never at a verdict."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmeval.extraction.draft import Draft

_ALTERNATIVE = re.compile(
    r"alternativ|\banother (?:\w+ )?(?:way|approach|solution|version|option|implementation)|one-?liner"
    r"|\bconcise|\bcompact|\bshorter|\bsimpler|\bor (?:even|simply|you can)\b|\bfor (?:comparison|reference)"
    r"|\boptional",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"correct|\bfix|revis|wrong|mistake|\bbug|instead|\bfinal|improv|updat|adjust|actual|should",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A draft with the line of prose that introduced it."""

    draft: Draft
    introduction: str = ""


def choose(candidates: Sequence[Candidate]) -> Draft | None:
    """The last of the candidates (models correct themselves downwards) that is meant as the whole answer.

    It leaves nothing out with `...`, is no excerpt of another one, names nothing that is defined nowhere, and
    is not offered as a mere alternative to what stands before it. Where none is left, a condition is dropped.
    """
    remaining = list(candidates)
    for condition in (_spelt_out, _no_excerpt, _nothing_missing, _no_alternative):
        remaining = [each for each in remaining if condition(each, remaining)] or remaining
    return remaining[-1].draft if remaining else None


def _spelt_out(candidate: Candidate, _: Sequence[Candidate]) -> bool:
    return not candidate.draft.entry.elided


def _nothing_missing(candidate: Candidate, _: Sequence[Candidate]) -> bool:
    return not candidate.draft.missing


def _no_excerpt(candidate: Candidate, rivals: Sequence[Candidate]) -> bool:
    return not any(_is_excerpt(candidate.draft, rival.draft) for rival in rivals)


def _no_alternative(candidate: Candidate, rivals: Sequence[Candidate]) -> bool:
    words = candidate.introduction
    return candidate is rivals[0] or not _ALTERNATIVE.search(words) or bool(_CORRECTION.search(words))


def _is_excerpt(draft: Draft, whole: Draft) -> bool:
    """True where the draft's entry point is a step of an explanation of the other's.

    Either it only repeats lines of it and ends before it does: a correction that removes lines still ends as
    the original did. Or it is less than half as long and stops without a result, as the other does not.
    """
    part, other = draft.entry.lines, whole.entry.lines
    if draft.entry.falls_through and not whole.entry.falls_through and 2 * len(part) < len(other):
        return True
    return len(part) < len(other) and part[-1] != other[-1] and _in_order(part, other)


def _in_order(part: Sequence[str], other: Sequence[str]) -> bool:
    remaining = iter(other)
    return all(line in remaining for line in part)
