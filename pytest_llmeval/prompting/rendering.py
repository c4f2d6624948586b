"""A Prompt and a model's tokenizer → token ids that fit, with exactly one BOS; runs in the engine host."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.prompting.fitting import fit
from pytest_llmeval.prompting.truncation import PromptTooLongError
from pytest_llmeval.schema import Cut, ModelSpec, Prompt, PromptStyle, Request, Span

TOKENIZERS_LOGGER = "transformers.tokenization_utils_base"
_PROBE = "def f(x):\n    return x"


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is sent: token ids, and what was cut from the prompt's text to make them fit (None: nothing)."""

    token_ids: list[int]
    cut: Cut | None = None


class Renderer:
    """Renders the Prompts of one model for a window of `max_model_len` tokens, prompt and answer together."""

    def __init__(self, tokenizer: Any, max_model_len: int, spec: ModelSpec) -> None:
        self._tokenizer = tokenizer
        self._measure = Measure(tokenizer)
        self._max_model_len = max_model_len
        self._policy = spec.truncation
        self._template = {} if spec.chat_template is None else {"chat_template": spec.chat_template}
        self._bos = getattr(tokenizer, "bos_token_id", None)
        self._adds_bos = self._bos is not None and list(tokenizer.encode(_PROBE))[:1] == [self._bos]

    def render(self, request: Request) -> list[Rendering]:
        """One Rendering, or one for each window of a text that the strategy sends in several.

        Raises:
            PromptTooLongError: what must be kept of the text does not fit.
            ConfigurationError: the chat template does not go with the prompt.
        """
        prompt, budget = request.prompt, self._max_model_len - request.sampling.max_tokens
        if prompt.token_ids is not None:
            return [_exactly(prompt.token_ids, budget)]
        ids = partial(self._ids, prompt)
        pieces = fit(prompt, self._policy, self._measure, budget, lambda text: len(ids(text)))
        return [Rendering(ids(piece.text), piece.cut) for piece in pieces]

    def facts(self) -> dict[str, Any]:
        """What the manifest should know of this model's prompts."""
        source = self._template.get("chat_template") or getattr(self._tokenizer, "chat_template", None)
        digest = hashlib.sha256(source.encode()).hexdigest() if isinstance(source, str) and source else None
        return {"chat_template_sha256": digest, "tokenizer_adds_bos": self._adds_bos}

    def _ids(self, prompt: Prompt, text: str) -> list[int]:
        """The prompt's token ids with `text` in the place of its own."""
        if prompt.style is PromptStyle.CHAT:
            return self._with_one_bos(self._chat_ids(prompt, text))
        return self._with_one_bos(self._measure.ids(text))

    def _with_one_bos(self, ids: list[int]) -> list[int]:
        """One BOS where the tokenizer adds it or the template writes it, however often both do; else none.

        Templates write the BOS that the tokenizer adds as well, or forget it: either costs accuracy.
        """
        if self._bos is None:
            return ids
        written = next((place for place, token in enumerate(ids) if token != self._bos), len(ids))
        return [self._bos] * bool(written or self._adds_bos) + ids[written:]

    def _chat_ids(self, prompt: Prompt, text: str) -> list[int]:
        messages = [{"role": "user", "content": text}]
        if prompt.system is not None:
            messages.insert(0, {"role": "system", "content": prompt.system})
        if prompt.assistant_prefill:
            return self._prefilled_ids(prompt, messages)
        ids: list[int] = self._tokenizer.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=False, **self._arguments(prompt)
        )
        return list(ids)

    def _prefilled_ids(self, prompt: Prompt, messages: list[dict[str, str]]) -> list[int]:
        """The model goes on in the middle of its own turn, after the prefill."""
        prefill = prompt.assistant_prefill
        rendered = self._continued([*messages, {"role": "assistant", "content": prefill}], prompt)
        if not isinstance(rendered, str):
            return rendered
        if not rendered.endswith(prefill):  # the template strips: white space at the end decides what follows
            rendered = rendered.rstrip() + prefill[len(prefill.rstrip()) :]
        if not rendered.endswith(prefill):
            raise ConfigurationError(
                f"the chat template changes the assistant_prefill {prefill!r}: shorten it"
            )
        return self._measure.ids(rendered)

    def _continued(self, messages: list[dict[str, str]], prompt: Prompt) -> str | list[int]:
        """The rendered chat, as text where the tokenizer renders text."""
        renders_text = hasattr(self._tokenizer, "get_chat_template")  # mistral-common makes tokens at once
        try:
            rendered: str | list[int] = self._tokenizer.apply_chat_template(
                messages,
                tokenize=not renders_text,
                continue_final_message=True,
                **({} if renders_text else {"return_dict": False}),
                **self._arguments(prompt),
            )
        except ValueError as error:
            if "continue_final_message" not in str(error):
                raise
            raise ConfigurationError(
                f"the chat template does not let the answer begin with the assistant_prefill "
                f"{prompt.assistant_prefill!r}: it leaves it out. Remove it, or set chat_template"
            ) from None
        return rendered

    def _arguments(self, prompt: Prompt) -> dict[str, Any]:
        return {**self._template, **prompt.chat_template_kwargs}


def _exactly(token_ids: Sequence[int], budget: int) -> Rendering:
    if len(token_ids) > budget:
        raise PromptTooLongError("exactly these tokens were to be sent", len(token_ids), budget)
    return Rendering(list(token_ids))


class Measure:
    """A model's tokenizer as truncation needs it: counts, and offsets where it has them."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._has_offsets = _has_offsets(tokenizer)
        logging.getLogger(TOKENIZERS_LOGGER).addFilter(_is_news)

    def ids(self, text: str) -> list[int]:
        """The text's tokens without special ones around them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def count(self, text: str) -> int:
        return len(self.ids(text))

    def offsets(self, text: str) -> Sequence[Span] | None:
        return _offsets(self._tokenizer, text) if self._has_offsets else None


def _is_news(record: logging.LogRecord) -> bool:
    """Long texts are measured to be cut: that they are longer than the model's window is no news.

    A filter, because the tokenizer that we hold may be a pool of copies, each of which would warn.
    """
    return "sequence length is longer than" not in record.getMessage()


def _offsets(tokenizer: Any, text: str) -> Sequence[Span]:
    found: Sequence[Span] = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    return found


def _has_offsets(tokenizer: Any) -> bool:
    """Tokenizers without offsets refuse in various ways; some give offsets that are none."""
    try:
        offsets = list(_offsets(tokenizer, _PROBE))
    except (TypeError, NotImplementedError, ValueError, KeyError):
        return False
    return bool(offsets) and offsets == sorted(offsets) and offsets[-1][1] == len(_PROBE)
