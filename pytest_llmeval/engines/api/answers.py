"""What is sent for a Request, and how the stream that comes back becomes a Completion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ValidationError

from pytest_llmeval.engines.api import failures
from pytest_llmeval.engines.stops import Watch, before_first
from pytest_llmeval.schema import Completion, Prompt, PromptStyle, Request, Sampling, Timing

NOT_THE_PROTOCOL = "check that engine.base_url is an OpenAI-compatible API that streams, and its server's log"

# OpenAI's API takes four, and `vllm serve` refuses more; we watch for the others and hang up.
STOPS_SENT = 4
# How servers call an answer that they gave up, when they shut down or run out of memory.
BROKEN_OFF = frozenset({"abort", "error"})


class Delta(BaseModel):
    """A piece of a chat's message; servers with a reasoning parser stream thoughts apart from the answer."""

    role: str | None = None
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None

    @property
    def only_announces(self) -> bool:
        """True for the piece that names the speaker, which many servers send before any token exists."""
        return self.role is not None and not (self.content or self.reasoning or self.reasoning_content)


class Choice(BaseModel):
    """A piece of the one answer that was asked for: `text` of a completion or `delta` of a chat.

    `index` is 0, unless an entry's `extra_body` asks for more answers, which are nobody's.
    """

    index: int | None = 0
    text: str | None = None
    delta: Delta | None = None
    finish_reason: str | None = None


def _countable(given: Any) -> int | None:
    return given if type(given) is int and given >= 0 else None


def _table(given: Any) -> Any:
    return given if isinstance(given, dict) else None


# What is no count is not known; the answer is good all the same.
Count = Annotated[int | None, BeforeValidator(_countable)]


class PromptDetails(BaseModel):
    cached_tokens: Count = None


class Usage(BaseModel):
    prompt_tokens: Count = None
    completion_tokens: Count = None
    prompt_tokens_details: Annotated[PromptDetails | None, BeforeValidator(_table)] = None


class Chunk(BaseModel):
    """One event of the stream."""

    choices: list[Choice] | None = None
    usage: Annotated[Usage | None, BeforeValidator(_table)] = None
    error: Any = None


def arguments(
    request: Request, model: str, extra_body: Mapping[str, Any], counts_along: bool = False
) -> dict[str, Any]:
    """Keyword arguments for the `create` of /chat/completions or /completions, by the prompt's style.

    `counts_along`: the server can count tokens in each event (vLLM). It is asked to where we may hang up before the
    last one, which has the count otherwise.
    """
    sampling = request.sampling
    along = {"continuous_usage_stats": True} if counts_along and _hangs_up(sampling) else {}
    drawn = {"seed": sampling.seed} if sampling.temperature else {}
    return {
        "model": model,
        **asked(request.prompt),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        **({"stop": list(sampling.stop[:STOPS_SENT])} if sampling.stop else {}),
        **drawn,
        "stream": True,
        "stream_options": {"include_usage": True, **along},
        "extra_body": {**_beyond_openai(sampling, request.prompt), **extra_body},
    }


def _hangs_up(sampling: Sampling) -> bool:
    return len(sampling.stop or ()) > STOPS_SENT


def asked(prompt: Prompt) -> dict[str, Any]:
    """The prompt as the API takes it; a prefill is the beginning of the assistant's own message."""
    if prompt.token_ids is not None:
        return {"prompt": list(prompt.token_ids)}
    if prompt.style is PromptStyle.COMPLETION:
        return {"prompt": prompt.text}
    system = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
    begun = [{"role": "assistant", "content": prompt.assistant_prefill}] if prompt.assistant_prefill else []
    return {"messages": [*system, {"role": "user", "content": prompt.text}, *begun]}


def turn(prompt: Prompt) -> dict[str, bool]:
    """Whose turn it is after the messages; only vLLM and its kin can go on in the middle of one."""
    if not (prompt.is_chat and prompt.assistant_prefill):
        return {}
    return {"continue_final_message": True, "add_generation_prompt": False}


def _beyond_openai(sampling: Sampling, prompt: Prompt) -> dict[str, Any]:
    """What vLLM and others understand and OpenAI does not: sent only where it says something."""
    wanted = {
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "min_tokens": sampling.min_tokens,
        "ignore_eos": sampling.ignore_eos,
        "chat_template_kwargs": dict(prompt.chat_template_kwargs),
    }
    return {**{key: value for key, value in wanted.items() if value}, **turn(prompt)}


async def events(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each server-sent event, up to `[DONE]`.

    Lines end at line feeds only: an answer may hold any other character that Python takes for a line's end.
    What follows `[DONE]` is read and dropped: only after its body's end can a connection be used again. Some servers
    end their last line with the body.
    """
    rest, done = b"", False
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for data in filter(None, map(_data, lines)):
            done = done or data == b"[DONE]"
            if not done:
                yield data
    if not done and (data := _data(rest)) not in (b"", b"[DONE]"):
        yield data


def _data(line: bytes) -> bytes:
    return line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""


class Answer:
    """An answer as it arrives. Times are readings of the caller's clock, in seconds.

    `stopped` turns true when the answer ends with a stop string that the server was not told: nothing more of
    the stream is wanted then.
    """

    def __init__(self, sampling: Sampling, sent_at: float, token_times: bool = False) -> None:
        self.stopped = False
        self._token_times = token_times
        self._sent_at = sent_at
        self._stop = (sampling.stop or ())[STOPS_SENT:]
        self._watch = Watch(self._stop)
        self._first_at: float | None = None
        self._last_at = sent_at
        self._stamps: list[float] = []
        self._texts: list[str] = []
        self._usage = Usage()
        self._finish_reason: str | None = None

    def add(self, data: bytes, now: float) -> None:
        """Take in one event.

        Raises:
            Failure: it is no event of this protocol, or tells of an error.
        """
        try:
            chunk = Chunk.model_validate_json(data)
        except ValidationError:
            told = data.decode(errors="replace")
            raise failures.Failure(f"malformed event in the stream: {told}", NOT_THE_PROTOCOL) from None
        if chunk.error:
            raise failures.of_stream_error(chunk.error)
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices or ():
            if not choice.index:
                self._add_choice(choice, now)

    def _add_choice(self, choice: Choice, now: float) -> None:
        self._finish_reason = choice.finish_reason or self._finish_reason
        if choice.delta and choice.delta.only_announces and not choice.finish_reason:
            return
        # Also a piece without text is a token: servers hold back what may become a stop string.
        self._first_at = now if self._first_at is None else self._first_at
        self._last_at = now
        self._stamps.append(now)
        piece = choice.text or (choice.delta and choice.delta.content) or ""
        self._texts.append(piece)
        if self._watch.sees(piece):
            self.stopped, self._finish_reason = True, "stop"

    def completion(self, concurrency: int) -> Completion:
        """The whole answer; `concurrency` is the most requests that were under way with it.

        Raises:
            Failure: the stream ended before the answer did.
        """
        if self._finish_reason is None:
            what = "the stream ended without a finish_reason"
            raise failures.Failure(what if self._texts else f"{what} and without text", NOT_THE_PROTOCOL)
        if self._finish_reason in BROKEN_OFF:
            raise failures.Failure(f"the server ended the answer with {self._finish_reason!r}")
        text, usage = before_first("".join(self._texts), self._stop), self._usage
        details = usage.prompt_tokens_details or PromptDetails()
        return Completion(
            text=text,
            finish_reason=self._finish_reason,
            prompt_tokens=usage.prompt_tokens or None,  # no prompt has none: 0 is a server that did not count
            completion_tokens=None if text and not usage.completion_tokens else usage.completion_tokens,
            cached_tokens=details.cached_tokens,
            timing=self._timing(concurrency),
        )

    def _timing(self, concurrency: int) -> Timing:
        first_at = self._last_at if self._first_at is None else self._first_at
        return Timing(
            concurrency=concurrency,
            ttft_s=first_at - self._sent_at,
            decode_s=self._last_at - first_at,
            e2e_s=self._last_at - self._sent_at,
            token_s=self._token_s(),
        )

    def _token_s(self) -> tuple[float, ...] | None:
        """Seconds to each token, where each had an event of its own: the server's count must agree."""
        if not self._token_times or len(self._stamps) != self._usage.completion_tokens:
            return None
        return tuple(stamp - self._sent_at for stamp in self._stamps)
