"""The values that cross stages: frozen, compared by value, free of behaviour beyond simple questions.

Times are seconds, sizes are bytes, token counts are integers. `None` means "not measured".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

SCHEMA_VERSION = 1


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


@dataclass(frozen=True, slots=True)
class TruncationPolicy:
    """How a text that is too long is cut.

    `head_share` is the head's part of the budget (`head_tail`), `overlap_share` the part of a window that
    repeats the end of the one before it (`sliding_window`).
    """

    strategy: Strategy = Strategy.HEAD_TAIL
    head_share: float = 0.8
    overlap_share: float = 0.125


Span: TypeAlias = tuple[int, int]
"""Characters of a text, from the first to the one after the last."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `temperature == 0` is greedy; `top_k == 0` considers every token.

    `stop is None` leaves the stop strings to the prompt style and the problem set; a Request knows its own.
    `ignore_eos` lets an answer run on to `max_tokens`; before `min_tokens` none may end.
    """

    n: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int = 1024
    stop: tuple[str, ...] | None = None
    seed: int = 0
    min_tokens: int = 0
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What a machine must offer before a model is worth loading."""

    device: Literal["gpu", "any"] = "gpu"
    device_memory_gib: float = 0.0
    hub: bool = True
    gated: bool = False


@dataclass(frozen=True)
class SetOverrides:
    """How one problem set is asked, where it differs from the model's entry; None: as the entry says."""

    prompt_style: PromptStyle | None = None
    instruction: str | None = None
    system_prompt: str | None = None
    assistant_prefill: str | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    stop: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ModelSpec:
    """One entry of models.toml, resolved: where the weights are and how they are asked.

    `engine` holds the engine's own arguments verbatim, `kind` names the engine in the registry of engines.
    `instruction` holds the words around a problem with their `{prompt}`, None for the problem set's own;
    `chat_template` is a template's source that takes the place of the tokenizer's.
    """

    name: str
    model: str
    kind: str = "vllm"
    revision: str | None = None
    categories: tuple[str, ...] = ()
    prompt_style: PromptStyle = PromptStyle.CHAT
    instruction: str | None = None
    system_prompt: str | None = None
    assistant_prefill: str = ""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat_template: str | None = None
    problem_sets: Mapping[str, SetOverrides] = field(default_factory=dict)
    truncation: TruncationPolicy = TruncationPolicy()
    sampling: Sampling = Sampling()
    engine: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Needs = Needs()
    token_env: str = "HF_TOKEN"
    description: str = ""


Position: TypeAlias = Literal["head", "middle", "tail"]


@dataclass(frozen=True, slots=True)
class Padding:
    """Made-up code around a problem: about `tokens` tokens in all, the problem at `position` in it."""

    tokens: int
    position: Position
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One task of a problem set.

    `test` is source that defines `check(candidate)`; `prompt` is trusted source that ends inside the
    function `entry_point`. What follows them is fixed by the problem set beforehand: no answer can change how
    it is judged. `opaque_answers`: an answer that is no plain data reaches the tests as a value that is true or
    false and equal to nothing, instead of ending the sample. `call_s` bounds one call; `wall_s` raises the
    sandbox's limit of the whole sample. `measures`: what the canonical solution shows in the sandbox before the
    first sample is judged: how long its calls take, for the limits, and its answers too, for the tests.
    `padding` is what the model sees around the problem; it is no part of what is judged.
    """

    problem_set: str
    task_id: str
    prompt: str
    entry_point: str
    test: str
    canonical_solution: str
    channel: Channel = Channel.SPLIT
    mutates_arguments: bool = False
    opaque_answers: bool = False
    call_s: float | None = None
    wall_s: float | None = None
    measures: Literal["nothing", "times", "answers"] = "nothing"
    padding: Padding | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What a model is asked in a run: a Problem and how (and how often) its answer is sampled."""

    problem: Problem
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked for a Problem: the user's text and, for chat models, the words around it.

    `protected` are the spans of the text that survive truncation; `assistant_prefill` is how the answer
    begins: the model goes on from there. With `token_ids` exactly these tokens are sent, and everything else
    here is words about them.
    """

    style: PromptStyle
    text: str
    system: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    assistant_prefill: str = ""
    protected: tuple[Span, ...] = ()
    token_ids: tuple[int, ...] | None = None

    @property
    def is_chat(self) -> bool:
        """True where a chat template puts it into tokens."""
        return self.style is PromptStyle.CHAT and self.token_ids is None


@dataclass(frozen=True, slots=True)
class Request:
    """One Prompt with its sampling and the index of the sample it asks for; n samples are n Requests.

    `token_times` asks for `Timing.token_s`, which costs the engine a message per token.
    """

    request_id: str
    task_id: str
    prompt: Prompt
    sampling: Sampling
    sample_index: int = 0
    token_times: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Engine-side seconds of one request, measured with `concurrency` requests submitted together.

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
    """Hashes of everything that decided a Sample's text, its verdict and its times; see `keys.py`.

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
    def judged(self) -> int:
        """How many samples the sandbox could judge."""
        return sum(not sample.verdict.outcome.is_fault for sample in self.samples)

    @property
    def correct(self) -> int:
        """How many samples passed."""
        return sum(sample.verdict.passed for sample in self.samples)

    def passes(self, rule: PassRule) -> bool:
        """Whether enough of the judged samples passed."""
        return rule.holds(self.correct, self.judged)

    @property
    def is_fault(self) -> bool:
        """True where no sample could be judged."""
        return bool(self.samples) and all(s.verdict.outcome.is_fault for s in self.samples)
