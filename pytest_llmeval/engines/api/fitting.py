"""Prompts that fit a server's window: counted by its /tokenize, else cut once it has refused them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from pytest_llmeval.engines.api import answers
from pytest_llmeval.engines.api.failures import Failure
from pytest_llmeval.engines.api.server import Server
from pytest_llmeval.prompting.fitting import Piece, fit
from pytest_llmeval.schema import ModelSpec, Prompt, PromptStyle, Request, Span, Strategy

REFUSALS = 4  # after so many a prompt is given up
BYTES_PER_TOKEN = 3  # of code, on the safe side: most tokenizers reach more
TEMPLATE_TOKENS = 64  # what a chat template may add, where it cannot be counted
TEMPLATE_BYTES = 1024  # what it may add to a text that fits for certain
_WINDOW = re.compile(r"context length (?:is|of) (\d+)")


class Fitter:
    """Cuts the prompts of one model. `window` is in tokens, prompt and answer together; None: not known."""

    def __init__(self, server: Server, spec: ModelSpec, window: int | None) -> None:
        self._server = server
        self._spec = spec
        self._window = window
        self._counts: bool | None = None  # whether the server offers /tokenize; None until it is asked
        self._finding_out = asyncio.Lock()  # a thousand requests come at once, and one asks

    async def fit(self, request: Request) -> list[Piece]:
        """What to send: the text as it is, or cut by the server's own counting.

        Raises:
            PromptTooLongError: what must be kept of the text does not fit.
            Failure: the server did not count.
        """
        prompt = request.prompt
        budget = (self._window or 0) - request.sampling.max_tokens
        if prompt.token_ids is not None or self._window is None or _fits_for_certain(prompt, budget):
            return [Piece(prompt.text)]
        if not await self._offers_counting():
            return [Piece(prompt.text)]
        counter = _Counter(self._count)
        try:
            return await asyncio.to_thread(
                fit,
                prompt,
                self._spec.truncation,
                _Remote(counter),
                budget,
                lambda text: counter(_whole(prompt, text)),
            )
        finally:
            counter.stop()

    def cut_after(self, refusal: Failure, request: Request, refusals: int) -> list[Piece]:
        """What to send after the server found the prompt too long for the `refusals`th time.

        Raises:
            PromptTooLongError: nothing shorter can be sent.
            Failure: the refusal itself, where nothing tells how long a prompt may be.
        """
        told = _WINDOW.search(refusal.what)
        window = self._window or (int(told[1]) if told else None)
        if window is None or refusals > REFUSALS or self._spec.truncation.strategy is Strategy.ERROR:
            raise refusal
        prompt, budget = request.prompt, int((window - request.sampling.max_tokens) * 0.8 ** (refusals - 1))
        around = _Estimate().count((prompt.system or "") + prompt.assistant_prefill) + TEMPLATE_TOKENS
        pieces = fit(
            prompt,
            self._spec.truncation,
            _Estimate(),
            budget,
            lambda text: _Estimate().count(text) + around,
        )
        if all(piece.cut is None for piece in pieces):  # by the estimate it fits: the server knows better
            raise refusal
        return [_uncounted(piece) for piece in pieces]

    async def _offers_counting(self) -> bool:
        async with self._finding_out:
            if self._counts is None:
                self._counts = await self._does_count()
            return self._counts

    async def _does_count(self) -> bool:
        try:
            await self._count({"prompt": "x"})
        except Failure as failure:
            if failure.transient:
                raise
            return False
        return True

    async def _count(self, body: Mapping[str, Any]) -> int:
        extra = {} if self._spec.chat_template is None else {"chat_template": self._spec.chat_template}
        chat = extra if "messages" in body else {}
        return await self._server.count({"model": self._spec.model, **chat, **body})


class _Counter:
    """Counts for the thread that fits one prompt, on the loop that it was made on."""

    def __init__(self, count: Callable[[Mapping[str, Any]], Coroutine[Any, Any, int]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._count = count
        self._stopped = False

    def __call__(self, body: Mapping[str, Any]) -> int:
        return asyncio.run_coroutine_threadsafe(self._counted(body), self._loop).result()

    async def _counted(self, body: Mapping[str, Any]) -> int:
        if self._stopped:
            raise Failure("nobody waits for this prompt any more", transient=False)
        return await self._count(body)

    def stop(self) -> None:
        """Nobody waits any more: whoever still counts is told so, and ends."""
        self._stopped = True


class _Remote:
    """Counts by asking; offsets are unknown."""

    def __init__(self, count: Callable[[Mapping[str, Any]], int]) -> None:
        self._count = count

    def count(self, text: str) -> int:
        return self._count({"prompt": text, "add_special_tokens": False}) if text else 0

    def offsets(self, text: str) -> list[Span] | None:
        return None


class _Estimate:
    """Counts by the length in bytes."""

    def count(self, text: str) -> int:
        return -(-_bytes(text) // BYTES_PER_TOKEN)

    def offsets(self, text: str) -> list[Span] | None:
        return None


def _whole(prompt: Prompt, text: str) -> dict[str, Any]:
    """The prompt as /tokenize takes it, with `text` in the place of its own."""
    changed = replace(prompt, text=text)
    if prompt.style is PromptStyle.COMPLETION:
        return answers.asked(changed)
    arguments = (
        {"chat_template_kwargs": dict(prompt.chat_template_kwargs)} if prompt.chat_template_kwargs else {}
    )
    return {**answers.asked(changed), **arguments, **answers.turn(prompt)}


def _fits_for_certain(prompt: Prompt, budget: int) -> bool:
    """A token is at least one byte."""
    around = _bytes((prompt.system or "") + prompt.assistant_prefill) + TEMPLATE_BYTES
    return _bytes(prompt.text) + around <= budget


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _uncounted(piece: Piece) -> Piece:
    cut = piece.cut
    return piece if cut is None else Piece(piece.text, replace(cut, tokens_before=None, tokens_after=None))
