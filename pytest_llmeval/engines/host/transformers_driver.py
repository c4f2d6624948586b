"""transformers inside an engine host. Importing this module pays its imports, so only the host does it."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    StoppingCriteria,
)

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.worker import Inbox, Loaded, Outbox, one_line
from pytest_llmeval.engines.stops import before_first
from pytest_llmeval.engines.tables import read_table
from pytest_llmeval.engines.transformers import Settings
from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.prompting.rendering import Renderer, Rendering
from pytest_llmeval.prompting.windows import Windows
from pytest_llmeval.schema import (
    Completion,
    MemoryBreakdown,
    ModelSpec,
    Prompt,
    PromptStyle,
    Request,
    Sampling,
    Timing,
)

WARM_UP = Request("warm-up", "", Prompt(PromptStyle.COMPLETION, "def"), Sampling(max_tokens=2))
CONTEXT_TOKENS = 8  # of the prompt, decoded with the answer: some tokenizers drop a text's first space
TOKENS_PER_CHARACTER = 4  # at most: a character of four bytes in as many tokens


class TransformersDriver:
    """Answers waiting requests batch by batch with the model's own `generate()`."""

    def load(self, spec: ModelSpec) -> Loaded:
        self.settings = read_table(spec, Settings)
        shared = {"revision": spec.revision, "trust_remote_code": self.settings.trust_remote_code}
        self.tokenizer = AutoTokenizer.from_pretrained(spec.model, **shared)
        self.model = load_model(spec.model, self.settings, shared)
        self.max_model_len = self.settings.max_model_len or positions(self.model.config)
        self.renderer = Renderer(self.tokenizer, self.max_model_len, spec)
        self.ends = end_tokens(self.model.generation_config, self.tokenizer)
        # The repository's own sampling defaults (a repetition penalty, say) would override what was asked.
        self.model.generation_config = GenerationConfig()
        self.generate(self.windows(WARM_UP), lambda row: None)
        return Loaded(self.facts(), self.memory())

    def memory(self) -> MemoryBreakdown:
        """The weights; what a batch takes besides comes and goes with it."""
        on_device = self.model.device.type != "cpu"
        total = torch.cuda.mem_get_info(self.model.device)[1] if self.model.device.type == "cuda" else None
        return MemoryBreakdown(
            where="device" if on_device else "host",
            weights_bytes=int(self.model.get_memory_footprint()),
            total_bytes=total,
        )

    def facts(self) -> dict[str, Any]:
        """What was really chosen, for the manifest."""
        return {
            "engine": "transformers",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "platform": self.model.device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attention": self.model.config._attn_implementation,
            "max_model_len": self.max_model_len,
            "batch_size": self.settings.batch_size,
            **self.renderer.facts(),
        }

    def serve(self, inbox: Inbox, outbox: Outbox) -> None:
        backlog = Backlog(inbox)
        while True:
            rows = self.rows(backlog.next(self.settings.batch_size), outbox)
            for start in range(0, len(rows), self.settings.batch_size):
                self.answer(rows[start : start + self.settings.batch_size], outbox, backlog)

    def rows(self, requests: Sequence[Request], outbox: Outbox) -> list[Row]:
        """The requests that can be answered; the others are refused here."""
        rows = []
        for request in requests:
            try:
                rows += self.windows(request)
            except Exception as error:  # its prompt does not fit, or the tokenizer chokes on it; others go on
                outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))
        return rows

    def windows(self, request: Request) -> list[Row]:
        """A row for each window of the request's prompt; most have one."""
        renderings = self.renderer.render(request)
        windows = Windows(len(renderings))
        return [
            Row(request, rendering, Place(index, windows), self.tokenizer, self.ends)
            for index, rendering in enumerate(renderings)
        ]

    def answer(self, rows: Sequence[Row], outbox: Outbox, backlog: Backlog) -> None:
        """Generate a batch; each row is sent when it ends, not when the longest does."""
        started = time.monotonic()

        def step() -> None:
            outbox.alive()
            for request_id in backlog.cancelled():
                for row in rows:
                    row.cancel(request_id)

        def send(row: Row) -> None:
            timing = Timing(concurrency=len(rows), e2e_s=time.monotonic() - started)
            if whole := row.place.windows.add(row.place.index, row.completion(timing)):
                outbox.send(protocol.Done(row.request.request_id, whole))

        try:
            self.generate(rows, send, step)
        except Exception as error:  # out of memory, most often: a batch's fault, the model is still there
            for row in rows:
                if row.finish_reason is None:
                    outbox.send(protocol.RequestFailed(row.request.request_id, one_line(error)))

    def generate(
        self, rows: Sequence[Row], ended: Callable[[Row], None], step: Callable[[], None] = lambda: None
    ) -> None:
        """Run the batch until every row has ended; `ended` is called with each, `step` after each token."""
        width = max(len(row.prompt_ids) for row in rows)
        pad = self.tokenizer.pad_token_id or 0
        padded = [[pad] * (width - len(row.prompt_ids)) + row.prompt_ids for row in rows]
        mask = [[0] * (width - len(row.prompt_ids)) + [1] * len(row.prompt_ids) for row in rows]
        self.model.generate(
            torch.tensor(padded, device=self.model.device),
            attention_mask=torch.tensor(mask, device=self.model.device),
            generation_config=GenerationConfig(
                do_sample=False,  # Draw has drawn: what it leaves has one choice
                max_new_tokens=max(row.request.sampling.max_tokens for row in rows),
                pad_token_id=pad,
            ),
            logits_processor=[Draw(rows, self.model.device)],
            stopping_criteria=[Ends(rows, ended, step)],
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Which of a request's windows a row is."""

    index: int
    windows: Windows


class Row:
    """A request's window in a batch: its prompt's tokens, its answer's tokens so far, and how it ended."""

    def __init__(
        self, request: Request, rendering: Rendering, place: Place, tokenizer: Any, ends: frozenset[int]
    ) -> None:
        self.request = request
        self.place = place
        self.prompt_ids = rendering.token_ids
        self.finish_reason: str | None = None
        self._cut = rendering.cut
        self._stop = request.sampling.stop or ()
        self._tokenizer = tokenizer
        self._ends = ends
        self._tokens: list[int] = []
        longest = max(map(len, self._stop), default=0)
        self._tail = (longest + 1) * TOKENS_PER_CHARACTER

    def take(self, token: int) -> None:
        """Add a token, and see whether the answer ends with it."""
        sampling, early = self.request.sampling, self.is_short
        self._tokens.append(token)
        ends = token in self._ends and not sampling.ignore_eos
        if not early and (ends or self._stops()):
            self.finish_reason = "stop"
        elif len(self._tokens) >= self.request.sampling.max_tokens:
            self.finish_reason = "length"

    @property
    def is_short(self) -> bool:
        """True while no token may end the answer."""
        return len(self._tokens) < self.request.sampling.min_tokens

    @property
    def ends(self) -> list[int]:
        return sorted(self._ends)

    def cancel(self, request_id: str) -> None:
        """Where it is this request: take no further tokens."""
        if self.request.request_id == request_id and self.finish_reason is None:
            self.finish_reason = "abort"

    def _stops(self) -> bool:
        if not self._stop:
            return False
        tail = self._decode(self._tokens[-self._tail :])
        return any(text in tail for text in self._stop)

    def completion(self, timing: Timing) -> Completion:
        return Completion(
            text=before_first(self._text(), self._stop),
            finish_reason=self.finish_reason,
            prompt_tokens=len(self.prompt_ids),
            completion_tokens=len(self._tokens),
            cut=self._cut,
            timing=timing,
        )

    def _text(self) -> str:
        tokens = self._tokens[:-1] if self._tokens[-1] in self._ends else self._tokens
        context = self.prompt_ids[-CONTEXT_TOKENS:]
        return self._decode(context + tokens)[len(self._decode(context)) :]

    def _decode(self, tokens: list[int]) -> str:
        # Some tokenizers would tidy spaces before punctuation: right for prose, wrong for code.
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


class Draw(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Draws each row's next token with the row's own seed and forbids all others; ends none too early.

    `generate()` has one random stream for a batch: with it, an answer would depend on its neighbours.
    """

    def __init__(self, rows: Sequence[Row], device: Any) -> None:
        self._short = [(index, row) for index, row in enumerate(rows) if row.is_short]
        self._rows = [
            (index, row.request.sampling, torch.Generator(device).manual_seed(row.request.sampling.seed))
            for index, row in enumerate(rows)
            if row.request.sampling.temperature
        ]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        for index, row in self._short:
            if row.is_short:
                scores[index, row.ends] = float("-inf")
        for index, sampling, generator in self._rows:
            weights = probabilities(scores[index], sampling)
            token = torch.multinomial(weights, 1, generator=generator)
            scores[index] = float("-inf")
            scores[index, token] = 0.0
        return scores


def probabilities(logits: Any, sampling: Sampling) -> Any:
    """The weights to draw from, cut as vLLM cuts them: temperature, min_p, top_k, then top_p."""
    weights = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    weights = torch.where(weights < sampling.min_p * weights.max(), 0.0, weights)
    ordered, order = weights.sort(descending=True)
    if sampling.top_k:
        ordered[sampling.top_k :] = 0.0
    ordered = ordered / ordered.sum()
    ordered[ordered.cumsum(0) - ordered >= sampling.top_p] = 0.0  # the token that crosses the bound stays
    return torch.zeros_like(weights).scatter(0, order, ordered)


class Ends(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped here
    """Tells each row its new token and reports which rows have ended."""

    def __init__(self, rows: Sequence[Row], ended: Callable[[Row], None], step: Callable[[], None]) -> None:
        self._rows = rows
        self._ended = ended
        self._step = step

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        self._step()
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            if row.finish_reason is None:
                row.take(token)
                if row.finish_reason is not None:
                    self._ended(row)
        done = [row.finish_reason is not None for row in self._rows]
        return torch.tensor(done, device=input_ids.device)


def load_model(name: str, settings: Settings, shared: Mapping[str, Any]) -> Any:
    """The model on its device, ready to answer."""
    arguments = {"dtype": settings.dtype, **shared, **settings.from_pretrained}
    model = AutoModelForCausalLM.from_pretrained(name, **arguments).eval()
    return model if "device_map" in arguments else model.to(settings.device or best_device())


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def positions(config: Any) -> int:
    """How many tokens the model was built for, prompt and answer together."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(limit, int):
        raise ConfigurationError("the model's config names no length limit: set engine.max_model_len")
    return limit


def end_tokens(config: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's own and those that the repository lists."""
    listed = config.eos_token_id if config is not None else None
    ids = listed if isinstance(listed, list) else [listed]
    return frozenset(token for token in (*ids, tokenizer.eos_token_id) if token is not None)


class Backlog:
    """What waits to be answered, and what was cancelled of it; there is no cache to reset."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._requests: dict[str, Request] = {}

    def next(self, limit: int) -> list[Request]:
        """Up to `limit` requests, at least one."""
        self.cancelled()
        while not self._requests:
            self._take(self._inbox.get())
            self.cancelled()
        chosen = list(self._requests)[:limit]
        return [self._requests.pop(request_id) for request_id in chosen]

    def cancelled(self) -> list[str]:
        """Take in what has come, and tell what was cancelled that does not wait here any more."""
        gone = []
        while True:
            try:
                gone += self._take(self._inbox.get_nowait())
            except queue.Empty:
                return gone

    def _take(self, message: Request | protocol.ResetCache | protocol.Cancel) -> list[str]:
        if isinstance(message, Request):
            self._requests[message.request_id] = message
        elif isinstance(message, protocol.Cancel):
            waited = self._requests.pop(message.request_id, None)
            return [] if waited else [message.request_id]
        return []
