"""The words of the field, as enumerations: what a verdict, a rule, a channel, a strategy is called."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a Program fared against its Problem's tests."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    EXCEPTION = "exception"
    SYNTAX_ERROR = "syntax_error"
    NO_CODE = "no_code"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"
    FORGED = "forged"
    SANDBOX_ERROR = "sandbox_error"

    @property
    def is_fault(self) -> bool:
        """True where the outcome says nothing about the model's answer."""
        return self is Outcome.SANDBOX_ERROR


class PassRule(StrEnum):
    """When an item with several samples passes; with one sample the three are the same."""

    ANY = "any"
    ALL = "all"
    MAJORITY = "majority"  # more than half

    def holds(self, correct: int, judged: int) -> bool:
        """True where `correct` of `judged` samples are enough; never without a judged sample."""
        needed = {PassRule.ANY: 1, PassRule.ALL: judged, PassRule.MAJORITY: judged // 2 + 1}
        return judged > 0 and correct >= needed[self]


class Channel(StrEnum):
    """Where tests run relative to the candidate: `split` in another process, `inline` in the same one."""

    SPLIT = "split"
    INLINE = "inline"


class AnswerForm(StrEnum):
    """What a Completion's text is: a model's `answer`, the prompt's `continuation`, or a whole `program`.

    An answer goes through extraction; the other two are judged exactly as they stand.
    """

    ANSWER = "answer"
    CONTINUATION = "continuation"
    PROGRAM = "program"


class PromptStyle(StrEnum):
    """`completion` sends the problem's text as it is; `chat` renders the model's chat template."""

    COMPLETION = "completion"
    CHAT = "chat"


class Strategy(StrEnum):
    """What survives of a user's text that is too long for the model."""

    HEAD_TAIL = "head_tail"
    HEAD = "head"
    TAIL = "tail"
    MIDDLE_LINES = "middle_lines"
    SLIDING_WINDOW = "sliding_window"
    ERROR = "error"
