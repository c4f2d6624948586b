"""A batch of the transformers engine, row by row: what each was asked, has so far, and how it ended."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Any

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.worker import Inbox
from pytest_llmeval.engines.stops import before_first
from pytest_llmeval.prompting.rendering import Rendering
from pytest_llmeval.prompting.windows import Windows
from pytest_llmeval.schema import Completion, Request, Timing

CONTEXT_TOKENS = 8  # of the prompt, decoded with the answer: some tokenizers drop a text's first space
TOKENS_PER_CHARACTER = 4  # at most: a character of four bytes in as many tokens


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
