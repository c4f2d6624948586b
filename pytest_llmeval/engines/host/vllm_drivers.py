"""vLLM inside an engine host. Importing this module pays vLLM's imports, so only the host does it."""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor

# The engine's heavy modules are imported here on purpose: the host imports while another model still runs.
import vllm.v1.engine.async_llm
import vllm.v1.engine.llm_engine
import vllm.v1.executor.uniproc_executor
from vllm import AsyncEngineArgs, EngineArgs
from vllm.platforms import current_platform

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.vllm_facts import Gauge, breakdown, facts
from pytest_llmeval.engines.host.vllm_requests import (
    WARM_UP_PROMPT,
    Asked,
    check_tokenizer,
    engine_arguments,
    tells,
    warm_up_params,
)
from pytest_llmeval.engines.host.worker import Inbox, Loaded, Outbox, end_group, one_line
from pytest_llmeval.engines.together import all_or_none
from pytest_llmeval.engines.under_way import UnderWay
from pytest_llmeval.prompting.rendering import Renderer, Rendering
from pytest_llmeval.prompting.windows import Windows, gathered
from pytest_llmeval.schema import Completion, ModelSpec, Request

if current_platform.is_cpu():
    import vllm.v1.worker.cpu_worker
else:
    import vllm.v1.worker.gpu_worker  # noqa: F401  # to have it imported


class StepDriver:
    """vLLM's LLMEngine stepped in this very process: quick to start, no further processes."""

    def load(self, spec: ModelSpec) -> Loaded:
        from vllm.v1.engine.llm_engine import LLMEngine

        self.gauge = Gauge()
        self.engine = LLMEngine.from_engine_args(
            EngineArgs(**engine_arguments(spec)), stat_loggers=[lambda config, index=0: self.gauge]
        )
        tokenizer = self.engine.get_tokenizer()
        check_tokenizer(tokenizer)
        self.renderer = Renderer(tokenizer, self.engine.model_config.max_model_len, spec)
        self.live: dict[str, tuple[Asked, Windows]] = {}
        self.under_way = UnderWay()
        self._warm_up()
        config, told = self.engine.vllm_config, self.renderer.facts()
        if not tells(config):
            return Loaded({**facts(config), **told})
        self.engine.collective_rpc("llmeval_tidy_up")
        kernels = self.engine.collective_rpc("llmeval_kernels")[0]
        memory = breakdown(config, self.engine.collective_rpc("llmeval_memory"))
        return Loaded({**facts(config, kernels), **told}, memory)

    def _warm_up(self) -> None:
        self.engine.add_request("warm-up", WARM_UP_PROMPT, warm_up_params())
        while self.engine.has_unfinished_requests():
            self.engine.step()
        self.engine.reset_prefix_cache()

    def serve(self, inbox: Inbox, outbox: Outbox) -> None:
        self.gauge.serve(outbox)
        while True:
            for message in _waiting(inbox, block=not self.live):
                self._obey(message, outbox)
            if self.live:
                self._step(outbox)

    def _obey(self, message: Request | protocol.ResetCache | protocol.Cancel, outbox: Outbox) -> None:
        match message:
            case Request():
                self._add(message, outbox)
            case protocol.ResetCache():
                self.engine.reset_prefix_cache()
            case protocol.Cancel(request_id=request_id):
                self._cancel(request_id)

    def _cancel(self, request_id: str) -> None:
        ids = [key for key, (asked, _) in self.live.items() if asked.request.request_id == request_id]
        self.engine.abort_request(ids)
        for key in ids:
            self._forget(key)

    def _forget(self, key: str) -> None:
        del self.live[key]
        self.under_way.ends()

    def _step(self, outbox: Outbox) -> None:
        for output in self.engine.step():
            asked, windows = self.live[output.request_id]
            asked.take(output)
            if output.finished:
                completion = asked.completion(output, self.under_way.most_since(asked.begun))
                self._forget(output.request_id)
                if whole := windows.add(asked.index, completion):
                    done = protocol.Done(asked.request.request_id, whole, self.gauge.kv_peak_share)
                    outbox.send(done)
        outbox.alive()

    def _add(self, request: Request, outbox: Outbox) -> None:
        try:
            renderings = self.renderer.render(request)
            windows = Windows(len(renderings))
            for index, rendering in enumerate(renderings):
                self._add_one(request, rendering, index, windows)
        except Exception as error:  # vLLM refuses this request; others go on
            self._cancel(request.request_id)  # windows before the one that was refused
            outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))

    def _add_one(self, request: Request, rendering: Rendering, index: int, windows: Windows) -> None:
        begun = self.under_way.begins()
        try:
            asked = Asked(request, rendering, index, begun)
            self.engine.add_request(asked.id, asked.prompt, asked.params)
        except BaseException:
            self.under_way.ends()
            raise
        self.live[asked.id] = asked, windows


def _waiting(inbox: Inbox, block: bool) -> list[Request | protocol.ResetCache | protocol.Cancel]:
    """Everything that waits in the inbox; with `block`, at least one message."""
    messages = [inbox.get()] if block else []
    while True:
        try:
            messages.append(inbox.get_nowait())
        except queue.Empty:
            return messages


class AsyncDriver:
    """vLLM's AsyncLLM on an event loop: its core runs in processes of its own, whose death it reports."""

    def load(self, spec: ModelSpec) -> Loaded:
        self.loop = asyncio.new_event_loop()
        self.rendering = ThreadPoolExecutor(1, thread_name_prefix="rendering")
        threading.Thread(target=self.loop.run_forever, name="vllm", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(self._load(spec), self.loop).result()

    async def _load(self, spec: ModelSpec) -> Loaded:
        from vllm.v1.engine.async_llm import AsyncLLM

        self.gauge = Gauge()
        self.engine = AsyncLLM.from_engine_args(
            AsyncEngineArgs(**engine_arguments(spec)), stat_loggers=[lambda config, index=0: self.gauge]
        )
        tokenizer = self.engine.get_tokenizer()
        tokenizer = await tokenizer if asyncio.iscoroutine(tokenizer) else tokenizer
        check_tokenizer(tokenizer)
        self.renderer = Renderer(tokenizer, self.engine.model_config.max_model_len, spec)
        self.live: dict[str, Future[None]] = {}
        self.under_way = UnderWay()
        async for _ in self.engine.generate(WARM_UP_PROMPT, warm_up_params(), request_id="warm-up"):
            pass
        await self.engine.reset_prefix_cache()
        config, told = self.engine.vllm_config, self.renderer.facts()
        if not tells(config):
            return Loaded({**facts(config), **told})
        await self.engine.collective_rpc("llmeval_tidy_up")
        kernels = (await self.engine.collective_rpc("llmeval_kernels"))[0]
        memory = breakdown(config, await self.engine.collective_rpc("llmeval_memory"))
        return Loaded({**facts(config, kernels), **told}, memory)

    def serve(self, inbox: Inbox, outbox: Outbox) -> None:
        self.gauge.serve(outbox)
        while True:
            match inbox.get():
                case Request() as request:
                    self._start(request, outbox)
                case protocol.ResetCache():
                    # Waited for, so that requests behind it find the cache empty.
                    asyncio.run_coroutine_threadsafe(self.engine.reset_prefix_cache(), self.loop).result()
                case protocol.Cancel(request_id=request_id):
                    if task := self.live.get(request_id):
                        task.cancel()  # vLLM then aborts the request in its core

    def _start(self, request: Request, outbox: Outbox) -> None:
        task = asyncio.run_coroutine_threadsafe(self._serve_one(request, outbox), self.loop)
        self.live[request.request_id] = task
        task.add_done_callback(lambda _: self.live.pop(request.request_id, None))

    async def _serve_one(self, request: Request, outbox: Outbox) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            # In a thread: a text of 200,000 tokens takes seconds, and the loop serves others meanwhile.
            renderings = await self.loop.run_in_executor(self.rendering, self.renderer.render, request)
            windows = [self._answer(request, one, index, outbox) for index, one in enumerate(renderings)]
            answers = await all_or_none(windows)
            done = protocol.Done(request.request_id, gathered(answers), self.gauge.kv_peak_share)
            outbox.send(done)
        except EngineDeadError as error:
            outbox.send(protocol.Failed(one_line(error)))
            end_group()
        except Exception as error:  # vLLM refuses this request; others go on
            outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))

    async def _answer(self, request: Request, rendering: Rendering, index: int, outbox: Outbox) -> Completion:
        begun = self.under_way.begins()
        try:
            asked = Asked(request, rendering, index, begun)
            async for output in self.engine.generate(asked.prompt, asked.params, request_id=asked.id):
                asked.take(output)
                outbox.alive()
            return asked.completion(output, self.under_way.most_since(asked.begun))
        finally:
            self.under_way.ends()
