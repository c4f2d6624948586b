"""One question in several windows: the answers come together, and one of them counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_llmeval.schema import Completion, Program, Timing


class Windows:
    """Collects the answers to the windows of one request; the one that adds the last gets the whole.

    Not for several threads at once.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._answers: dict[int, Completion] = {}

    def add(self, index: int, completion: Completion) -> Completion | None:
        """Take the answer to window `index`; the request's Completion once all have come."""
        self._answers[index] = completion
        if len(self._answers) < self._count:
            return None
        return gathered([self._answers[index] for index in range(self._count)])


def gathered(answers: Sequence[Completion]) -> Completion:
    """One Completion for the answers to all windows; that of a single window is left as it is."""
    first = answers[0]
    if len(answers) == 1:
        return first
    return replace(first, windows=tuple(answers), **_totals(answers))  # type: ignore[arg-type]  # by name


def _totals(answers: Sequence[Completion]) -> dict[str, int | Timing | None]:
    """What the engine did for all windows; tokens that were not counted for one are not known for all."""
    return {
        "prompt_tokens": _sum([answer.prompt_tokens for answer in answers]),
        "completion_tokens": _sum([answer.completion_tokens for answer in answers]),
        "cached_tokens": _sum([answer.cached_tokens for answer in answers]),
        "timing": _timing([answer.timing for answer in answers]),
    }


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _timing(timings: Sequence[Timing | None]) -> Timing | None:
    """The windows were asked together: the last answer ends the request. A first token has no meaning."""
    known = [timing for timing in timings if timing is not None]
    ends = [timing.e2e_s for timing in known if timing.e2e_s is not None]
    if len(ends) < len(timings):
        return None
    return Timing(concurrency=max(timing.concurrency for timing in known), e2e_s=max(ends))


def settle(completion: Completion, program_of: Callable[[Completion], Program | None]) -> Completion:
    """The Completion whose text is the answer that counts; what was sent whole is left as it is."""
    if not completion.windows:
        return completion
    chosen = choose([program_of(answer) for answer in completion.windows])
    answer = completion.windows[chosen or 0]
    return replace(answer, windows=completion.windows, **_totals(completion.windows))  # type: ignore[arg-type]


def choose(programs: Sequence[Program | None]) -> int | None:
    """Which window's answer counts: the program that most windows agree on; of equals, the earliest.

    The rule sees programs and never a verdict. None where no window gave a program.
    """
    votes = Counter(program.source.strip() for program in programs if program is not None)
    if not votes:
        return None
    agreed, _ = votes.most_common(1)[0]
    return next(i for i, program in enumerate(programs) if program and program.source.strip() == agreed)
