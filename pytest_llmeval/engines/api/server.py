"""One server: asks it once and turns what goes wrong into a Failure; trying again is the engine's matter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from pytest_llmeval.engines.api import answers, failures
from pytest_llmeval.engines.api.failures import Failure
from pytest_llmeval.engines.api.settings import Settings
from pytest_llmeval.engines.under_way import UnderWay
from pytest_llmeval.schema import Completion, Request

NO_KEY = "none"  # a server without keys takes any; the client insists on one
# Where the errors of a connection that breaks in mid-answer come from: openai 3 speaks httpx2, 2 httpx.
TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "anyio", "ssl"})
LATE_ADVICE = "raise engine.request_timeout_s or lower engine.concurrency"


class ServedModel(BaseModel):
    """A model that a server lists; what it tells beyond the id differs from server to server."""

    model_config = ConfigDict(extra="allow")

    id: str


class ModelList(BaseModel):
    data: list[ServedModel]


class Server:
    """A client of `openai`, whose package is `library`. `close()` closes its connections.

    `cache_salt` goes into every request where it is set: vLLM takes nothing from its prefix cache that was computed
    under another.
    """

    def __init__(
        self, library: ModuleType, settings: Settings, key: SecretStr | None, clock: Callable[[], float]
    ) -> None:
        self._library = library
        self._settings = settings
        self._clock = clock
        self._under_way = UnderWay()
        self.cache_salt = ""
        self._client = library.AsyncOpenAI(
            api_key=key.get_secret_value() if key else NO_KEY,
            base_url=settings.base_url,
            timeout=settings.request_timeout_s,
            max_retries=0,  # ours are logged, and tell in the end what happened
        )

    async def models(self, limit_s: float) -> dict[str, Mapping[str, Any]]:
        """What the server serves: id → what it tells of it.

        Raises:
            Failure: no list came within `limit_s`.
        """
        with self._failures(Failure(f"no answer within {limit_s:g} s", failures.IS_IT_RUNNING)):
            async with asyncio.timeout(limit_s):
                response = await self._client.models.with_raw_response.list(timeout=limit_s)
                return _served(response.http_response.content)

    async def answer(self, request: Request, model: str, counts_along: bool) -> Completion:
        """Send a request and read its stream; `counts_along` where the server is vLLM, see `answers.arguments`.

        Raises:
            Failure: no whole answer came.
        """
        salt = {"cache_salt": self.cache_salt} if self.cache_salt else {}
        extra_body = {**salt, **self._settings.extra_body}
        arguments = answers.arguments(request, model, extra_body, counts_along)
        chat = request.prompt.is_chat
        endpoint = self._client.chat.completions if chat else self._client.completions
        begun = self._under_way.begins()
        try:
            with self._failures(Failure("no whole answer in time", LATE_ADVICE)):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    return await self._read(endpoint, arguments, request, begun)
        finally:
            self._under_way.ends()

    async def count(self, body: Mapping[str, Any]) -> int:
        """How many tokens `vllm serve` and its kin make of a prompt: their /tokenize, beside the API.

        Raises:
            Failure: the server does not say.
        """
        root = self._settings.base_url.removesuffix("/v1")
        with self._failures(Failure("/tokenize did not answer in time", LATE_ADVICE)):
            async with asyncio.timeout(self._settings.request_timeout_s):
                said: Any = await self._client.post(f"{root}/tokenize", cast_to=object, body=dict(body))
        count = said.get("count") if isinstance(said, dict) else None
        if not isinstance(count, int):
            raise Failure("/tokenize gave no count", transient=False)
        return count

    async def _read(
        self, endpoint: Any, arguments: Mapping[str, Any], request: Request, begun: int
    ) -> Completion:
        answer = answers.Answer(request.sampling, self._clock(), request.token_times)
        async with endpoint.with_streaming_response.create(**arguments) as response:
            async for event in answers.events(response.iter_bytes()):
                answer.add(event, self._clock())
                if answer.stopped:
                    break
        return answer.completion(self._under_way.most_since(begun))

    async def close(self) -> None:
        await self._client.close()

    @contextmanager
    def _failures(self, late: Failure) -> Iterator[None]:
        """Foreign errors become Failures, without the originals: those may hold headers."""
        try:
            yield
        except Failure:
            raise
        except self._library.APIStatusError as error:
            message = failures.message_of(error.body, error.message)
            raise failures.of_status(error.status_code, message, error.response.headers) from None
        except (TimeoutError, self._library.APITimeoutError):
            raise late from None
        except UnicodeEncodeError:
            what = "the prompt holds half a surrogate pair, which UTF-8 cannot carry"
            raise Failure(what, "correct the problem's text", transient=False) from None
        except Exception as error:
            raise self._of_foreign(error) from None

    def _of_foreign(self, error: Exception) -> Failure:
        cause = error.__cause__ or error
        told = f"{type(cause).__name__}: {cause}"
        packages = {type(one).__module__.partition(".")[0] for one in (error, cause)}
        if isinstance(error, self._library.APIConnectionError) or packages & TRANSPORTS:
            return Failure(f"the connection failed ({told})", failures.IS_IT_RUNNING)
        return Failure(
            f"the request could not be made ({told})", "correct engine.extra_body", transient=False
        )


def _served(content: bytes) -> dict[str, Mapping[str, Any]]:
    try:
        listed = ModelList.model_validate_json(content).data
    except ValidationError:
        told = content.decode(errors="replace")
        raise Failure(f"no list of models, but {told!r}", failures.ADVICE[404]) from None
    return {model.id: model.model_extra or {} for model in listed}
