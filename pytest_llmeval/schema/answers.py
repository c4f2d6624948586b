"""What comes back: completions with their times, programs, verdicts, and the Record that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from pytest_llmeval.schema.tasks import Padding, Prompt, Span
from pytest_llmeval.schema.words import AnswerForm, Channel, Outcome, PassRule, Strategy

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """Engine-side seconds of one request; `concurrency` is the most requests that were under way with it.

    `token_s` are the seconds to each token of the answer, where they were asked for; tokens that left the
    engine together share theirs. `disturbed` says why these seconds are not the engine's own (it died under
    way, and the request was sent again): such a timing enters no figure of speed.
    """

    concurrency: int
    queue_s: float | None = None
    ttft_s: float | None = None
    decode_s: float | None = None
    e2e_s: float | None = None
    token_s: tuple[float, ...] | None = None
    disturbed: str | None = None


@dataclass(frozen=True, slots=True)
class MemoryBreakdown:
    """Where the memory of a loaded engine goes, in bytes summed over its devices; None means not measured.

    `where` is "device" or "host". `kv_pool_bytes` are reserved for the KV cache, enough for `kv_pool_tokens`;
    how many of them were in use at most is a matter of what was asked, and stands in `EngineStatus`.
    `activation_peak_bytes` is the most that a forward pass of the largest batch took besides, `graphs_bytes`
    what captured graphs hold, `other_bytes` what is not the model's (context, communication).
    """

    where: Literal["device", "host"]
    weights_bytes: int | None = None
    kv_pool_bytes: int | None = None
    kv_pool_tokens: int | None = None
    activation_peak_bytes: int | None = None
    graphs_bytes: int | None = None
    other_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """What truncation left of a prompt's text.

    Tokens are those of the user's text alone, without the chat template around it; None where they could only
    be estimated. `kept` are the spans of the text that were sent, of `windows` the one that was answered.
    """

    strategy: Strategy
    tokens_before: int | None
    tokens_after: int | None
    kept: tuple[Span, ...]
    window: int = 0
    windows: int = 1


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated text. `finish_reason` is "stop", "length" or what the engine calls it.

    `cut` is None where the whole prompt was sent. `windows` are the answers to each window of a text that was
    sent in several; the fields above them are then those of the chosen one, with the tokens of all.
    """

    text: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cut: Cut | None = None
    timing: Timing | None = None
    form: AnswerForm = AnswerForm.ANSWER
    windows: tuple[Completion, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """Executable source made from a Completion, the rule that made it and the repairs it needed."""

    source: str
    rule: str
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the sandbox saw. `detail` is one line for people; `output` is captured, capped text."""

    outcome: Outcome
    detail: str = ""
    output: str = ""
    wall_s: float | None = None
    channel: Channel | None = None
    cpu_s: float | None = None

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED


@dataclass(frozen=True, slots=True)
class Keys:
    """Hashes of everything that decided a Sample's text, its verdict and its times; see docs/resume.md.

    Where two Samples have the same key, one may stand for the other. Empty: not known.
    """

    generation: str = ""
    verdict: str = ""
    timing: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One Completion with the Program made from it (None: no code was found) and its Verdict.

    `exact_match`: a program that passed is, as a syntax tree, the canonical solution.
    `reused_from` is the run that generated it, where that was not this one: its times are not this run's.
    """

    index: int
    completion: Completion
    program: Program | None
    verdict: Verdict
    exact_match: bool = False
    keys: Keys = Keys()
    reused_from: str | None = None


class RecordId(NamedTuple):
    """Names one Record within a run."""

    model: str
    problem_set: str
    task_id: str


@dataclass(frozen=True)
class Record:
    """One model × problem with its n Samples: everything downstream is computed from Records alone."""

    model: str
    problem_set: str
    task_id: str
    prompt: Prompt
    samples: tuple[Sample, ...]
    padding: Padding | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def record_id(self) -> RecordId:
        return RecordId(self.model, self.problem_set, self.task_id)

    @property
    def n(self) -> int:
        return len(self.samples)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """How its samples fared; samples that are held compactly tell it without being made."""
        known: tuple[Verdict, ...] | None = getattr(self.samples, "verdicts", None)
        return tuple(sample.verdict for sample in self.samples) if known is None else known

    @cached_property
    def judged(self) -> int:
        """How many samples the sandbox could judge."""
        return sum(not verdict.outcome.is_fault for verdict in self.verdicts)

    @cached_property
    def correct(self) -> int:
        """How many samples passed."""
        return sum(verdict.passed for verdict in self.verdicts)

    def passes(self, rule: PassRule) -> bool:
        """Whether enough of the judged samples passed."""
        return rule.holds(self.correct, self.judged)

    @cached_property
    def is_fault(self) -> bool:
        """True where no sample could be judged."""
        return self.n > 0 and self.judged == 0
