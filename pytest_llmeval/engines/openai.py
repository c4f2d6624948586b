"""Any server that speaks OpenAI's API, `vllm serve` first: no model and no child process of our own."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import count
from types import ModuleType
from typing import Any, TypeVar

from pydantic import SecretStr

from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, Progress
from pytest_llmeval.engines.api import failures
from pytest_llmeval.engines.api.failures import LONGEST_MESSAGE, Failure
from pytest_llmeval.engines.api.fitting import Fitter
from pytest_llmeval.engines.api.loop import LoopThread
from pytest_llmeval.engines.api.server import Server
from pytest_llmeval.engines.api.settings import Settings
from pytest_llmeval.engines.tables import read_table
from pytest_llmeval.engines.together import all_or_none
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.extensions import require, suggestion
from pytest_llmeval.prompting.fitting import Piece
from pytest_llmeval.prompting.truncation import PromptTooLongError
from pytest_llmeval.prompting.windows import gathered
from pytest_llmeval.redaction import redact
from pytest_llmeval.schema import Completion, ModelSpec, Request

T = TypeVar("T")

CONNECT_LIMIT_S = 10.0


class OpenAIEngine(Engine):
    """Asks a server from an event loop on a daemon thread: `concurrency` Requests at a time.

    Timings are the client's, of the attempt that brought the answer. `close()` cancels what is under way,
    closes the connections and ends the thread. The key is read from the environment when the model loads, and
    appears in no log, message or file. The API has no word for emptying a server's prefix cache; vLLM's is passed by.
    """

    holds_weights = False

    def __init__(
        self,
        spec: ModelSpec,
        context: EngineContext,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._spec = spec
        settings = read_table(spec, Settings)
        template = {} if spec.chat_template is None else {"chat_template": spec.chat_template}
        self._settings = settings.model_copy(update={"extra_body": {**template, **settings.extra_body}})
        self._library = client_library()
        self._log_path = context.log_path
        self._load_timeout_s = context.load_timeout_s
        self._clock, self._sleep, self._draw = clock, sleep, draw
        self._key: SecretStr | None = None
        self._is_vllm = False
        self._slots = asyncio.Semaphore(self._settings.concurrency)
        self._lock = threading.Lock()  # guards the next two
        self._loop: LoopThread | None = None
        self._why_not = "the engine was not loaded"
        self._note(f"{self._settings.base_url}: made")

    def load(self, progress: Progress) -> EngineInfo:
        progress("connecting", self._settings.base_url)
        started = self._clock()
        self._key = self._read_key()
        with self._lock:
            self._server = Server(self._library, self._settings, self._key, self._clock)
            self._loop = LoopThread(f"openai-{self._spec.name}")
            finding = self._loop.start(self._find_model())
        facts = finding.result()
        window = self._settings.max_model_len or facts.get("max_model_len")
        self._fitter = Fitter(self._server, self._spec, window)
        self._note(f"serves {self._spec.model}")
        # The only server known to take tokens as prompts, to run on past an answer's end and to count along.
        self._is_vllm = facts.get("owned_by") == "vllm"
        return EngineInfo(load_s=self._clock() - started, facts=facts, synthetic=self._is_vllm)

    def submit(self, request: Request) -> Future[Completion]:
        with self._lock:
            if self._loop is not None:
                return self._loop.start(self._answer(request))
        refused: Future[Completion] = Future()
        refused.set_exception(EngineFault(f"{self._spec.name}: {self._why_not}"))
        return refused

    def reset_cache(self) -> None:
        """What vLLM has cached is not found under a new salt; other servers keep what they have."""
        if self._is_vllm:
            self._server.cache_salt = uuid.uuid4().hex

    def close(self) -> None:
        with self._lock:
            loop, self._loop = self._loop, None
            self._why_not = "the engine was closed"
        if loop is not None:
            loop.close(self._server.close)

    def _read_key(self) -> SecretStr | None:
        """The key, without the line break that files of secrets end in.

        Raises:
            EngineFault: it is named and not set, or no header can carry it: the client would tell it in its error.
        """
        name = self._settings.api_key_env
        value = os.environ.get(name, "").strip()
        if not (value.isascii() and value.isprintable()):
            raise EngineFault(
                f"the environment variable {name} holds no key: a key is printable ASCII; set it anew"
            )
        if not value and "api_key_env" in self._settings.model_fields_set:
            raise EngineFault(f"the environment variable {name}, named by engine.api_key_env, is not set")
        return SecretStr(value) if value else None

    async def _find_model(self) -> dict[str, Any]:
        where = f"GET {self._settings.base_url}/models"
        try:
            served = await self._server.models(min(CONNECT_LIMIT_S, self._load_timeout_s))
        except Failure as failure:
            raise self._fault(where, failure) from None
        name = self._spec.model
        if name not in served:
            known = ", ".join(sorted(served)) or "nothing"
            what = f"the server does not serve {name!r}{suggestion(name, served)}; it serves: {known}"
            raise self._fault(where, Failure(what, "correct the entry's model"))
        facts = {"engine": "openai", "base_url": self._settings.base_url, "served": name}
        return facts | listed_facts(served[name])

    async def _answer(self, request: Request) -> Completion:
        """One request; one that is cut into windows is as many.

        Raises:
            EngineFault: what went wrong, and how often it was tried.
        """
        try:
            pieces = await self._persist(partial(self._fitter.fit, request), "../tokenize", request)
            for refusals in count(1):
                try:
                    return gathered(await all_or_none([self._ask(request, piece) for piece in pieces]))
                except Failure as refusal:
                    pieces = await asyncio.to_thread(self._fitter.cut_after, refusal, request, refusals)
                    self._note(f"{request.request_id}: cut, because {self._shown(refusal)}")
        except PromptTooLongError as error:
            what = Failure(f"prompt too long: {error}", "choose another truncation strategy")
            raise self._fault(request.request_id, what) from None
        except Failure as failure:
            raise self._fault(self._where(path_of(request), request), failure) from None
        raise AssertionError("unreachable: the loop returns or raises")

    async def _ask(self, request: Request, piece: Piece) -> Completion:
        changed = replace(request, prompt=replace(request.prompt, text=piece.text))
        async with self._slots:
            answer = partial(self._server.answer, changed, self._spec.model, self._is_vllm)
            return replace(await self._persist(answer, path_of(request), request), cut=piece.cut)

    async def _persist(self, work: Callable[[], Awaitable[T]], path: str, request: Request) -> T:
        """What the server says, asked again as long as that may help.

        Raises:
            EngineFault: the last failure, and how often it was tried.
            Failure: it finds the prompt too long.
        """
        for attempt in count():
            try:
                return await work()
            except Failure as failure:
                if failures.is_too_long(failure):
                    raise
                where = self._where(path, request)
                if failure.final or attempt == self._settings.max_retries:
                    raise self._fault(where, failure, attempt + 1) from None
                pause_s = failures.wait_s(attempt, failure.asked_wait_s, self._draw())
                self._note(f"{where}: {self._shown(failure)}; again in {pause_s:.1f} s")
            await self._sleep(pause_s)
        raise AssertionError("unreachable: the loop returns or raises")

    def _where(self, path: str, request: Request) -> str:
        return f"POST {self._settings.base_url}/{path} for {request.request_id}"

    def _fault(self, where: str, failure: Failure, attempts: int = 1) -> EngineFault:
        times = f" (tried {attempts} times)" if attempts > 1 else ""
        message = self._clean(f"{where}: {self._shown(failure)}{times}; {failure.advice}")
        self._note(message)
        return EngineFault(message)

    def _note(self, line: str) -> None:
        """Add a line to the engine's log."""
        with self._log_path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {self._clean(line)}\n")

    def _shown(self, failure: Failure) -> str:
        """What happened, in no more than a few lines."""
        what = self._clean(failure.what)
        return what if len(what) <= LONGEST_MESSAGE else f"{what[:LONGEST_MESSAGE]}…"

    def _clean(self, text: str) -> str:
        """`text` on one line, without secrets."""
        secrets = [self._key.get_secret_value()] if self._key else []
        return redact(" ".join(text.split()), secrets=secrets)


def path_of(request: Request) -> str:
    """The endpoint that answers prompts of the request's style."""
    return "chat/completions" if request.prompt.is_chat else "completions"


def listed_facts(told: Mapping[str, Any]) -> dict[str, Any]:
    """What of a model's listing is understood; servers put there what they like."""
    facts: dict[str, Any] = {key: told[key] for key in ("owned_by", "root") if isinstance(told.get(key), str)}
    window = told.get("max_model_len")
    return {**facts, "max_model_len": window} if type(window) is int and window > 0 else facts


def client_library() -> ModuleType:
    """The `openai` package, imported when an engine is made: runs without a server do not pay for it.

    Raises:
        MissingExtraError: it is not installed.
    """
    require("openai", "openai")
    import openai

    module: ModuleType = openai
    return module
