"""vLLM inside an engine host. Importing this module pays vLLM's imports, so only the host does it."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

# The engine's heavy modules are imported here on purpose: the host imports while another model still runs.
import vllm.v1.engine.async_llm
import vllm.v1.engine.llm_engine
import vllm.v1.executor.uniproc_executor
from vllm import AsyncEngineArgs, EngineArgs, SamplingParams
from vllm.outputs import RequestOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind

from pytest_llmeval import devices
from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.vllm_facts import Gauge, breakdown, facts
from pytest_llmeval.engines.host.worker import Inbox, Loaded, Outbox, end_group, one_line
from pytest_llmeval.engines.under_way import UnderWay
from pytest_llmeval.prompting.rendering import Renderer, Rendering
from pytest_llmeval.prompting.windows import Windows, gathered
from pytest_llmeval.schema import Completion, ModelSpec, Request, Sampling, Timing

if current_platform.is_cpu():
    import vllm.v1.worker.cpu_worker
else:
    import vllm.v1.worker.gpu_worker  # noqa: F401  # to have it imported

WARM_UP_TOKENS = 8
WARM_UP_PROMPT: Any = {"prompt_token_ids": [1] * WARM_UP_TOKENS}
TELLING = "pytest_llmeval.engines.host.vllm_worker.Telling"


def engine_arguments(spec: ModelSpec) -> dict[str, Any]:
    """vLLM's arguments: the entry's `engine` table verbatim, over what this package needs to measure."""
    return {
        "model": spec.model,
        "revision": spec.revision,
        "disable_log_stats": False,  # else RequestOutput.metrics is None
        "worker_extension_cls": TELLING,
        # vLLM rewinds the generator of a seeded request whose prefill was split, which torch's CPU generator
        # cannot do ("CPU Generator does not use offset"): the engine dies. So nothing is split there.
        **({"enable_chunked_prefill": False} if current_platform.is_cpu() else {}),
        **spec.engine,
        **(memory_share(spec) if current_platform.is_cpu() else {}),
    }


def memory_share(spec: ModelSpec) -> dict[str, float]:
    """Beside other engines of this machine, an engine that would take a share of its memory takes it of its part."""
    part = os.environ.get("PYTEST_LLMEVAL_MEMORY_SHARE")
    if part is None or "kv_cache_memory_bytes" in spec.engine or "VLLM_CPU_KVCACHE_SPACE" in os.environ:
        return {}
    return {"gpu_memory_utilization": float(part) * devices.memory_share(spec)}


def sampling_params(sampling: Sampling, token_times: bool = False) -> SamplingParams:
    """vLLM's parameters; with `token_times` each token is told as it comes, otherwise the whole answer at its end."""
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop or ()),
        seed=sampling.seed if sampling.temperature else None,
        min_tokens=sampling.min_tokens,
        ignore_eos=sampling.ignore_eos,
        output_kind=RequestOutputKind.DELTA if token_times else RequestOutputKind.FINAL_ONLY,
    )


def warm_up_params() -> SamplingParams:
    """One short answer nobody sees, so that the first measured request does not pay for first times."""
    return SamplingParams(max_tokens=WARM_UP_TOKENS, temperature=0, ignore_eos=True)


def tells(config: Any) -> bool:
    """True where vLLM's workers can be asked for what they hold: an entry may have given them another extension."""
    return bool(config.parallel_config.worker_extension_cls == TELLING)


def check_tokenizer(tokenizer: Any) -> None:
    """A checkpoint without tokenizer files loads, with a tokenizer that knows no tokens.

    Raises:
        ValueError: it is such a one.
    """
    if not tokenizer.encode("def f():\n    return 1"):
        raise ValueError("the tokenizer gives no tokens for a line of code")


class Asked:
    """One window of a request (most have one) on its way through the engine."""

    def __init__(self, request: Request, rendering: Rendering, index: int, begun: int) -> None:
        self.request = request
        self.index = index
        self.id = f"{request.request_id}#{index}" if index else request.request_id
        self.params = sampling_params(request.sampling, request.token_times)
        self.prompt: Any = {"prompt_token_ids": rendering.token_ids}
        self._rendering = rendering
        self.begun = begun  # by the count of what is under way
        self._texts: list[str] = []
        self._stamps: list[float] = []  # one per token: when its output came

    def take(self, output: RequestOutput) -> None:
        """Take in an output of the engine: the whole answer, or its next tokens."""
        answer = output.outputs[0]
        self._texts.append(answer.text)
        self._stamps += [time.monotonic()] * len(answer.token_ids)

    def completion(self, last: RequestOutput, concurrency: int) -> Completion:
        return Completion(
            text="".join(self._texts),
            finish_reason=last.outputs[0].finish_reason,
            prompt_tokens=len(self._rendering.token_ids),
            completion_tokens=len(self._stamps),
            cached_tokens=last.num_cached_tokens,
            cut=self._rendering.cut,
            timing=timing(last.metrics, concurrency, self._stamps if self.request.token_times else None),
        )


def timing(metrics: Any, concurrency: int, stamps: Sequence[float] | None = None) -> Timing | None:
    """Seconds of one request, from vLLM's RequestStateStats.

    Its `*_ts` are one monotonic clock and `arrival_time` another: only differences of like stamps are taken.
    Time to first token counts from the moment the engine core queued the request; later tokens follow it as
    our own `stamps` follow their first.
    """
    if metrics is None or not metrics.first_token_ts:
        return None
    ttft_s = metrics.first_token_ts - metrics.queued_ts
    return Timing(
        concurrency=concurrency,
        queue_s=metrics.scheduled_ts - metrics.queued_ts,
        ttft_s=ttft_s,
        decode_s=metrics.last_token_ts - metrics.first_token_ts,
        e2e_s=metrics.last_token_ts - metrics.queued_ts,
        token_s=tuple(ttft_s + stamp - stamps[0] for stamp in stamps) if stamps else None,
    )


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
                self._add_one(Asked(request, rendering, index, self.under_way.begins()), windows)
        except Exception as error:  # vLLM refuses this request; others go on
            self._cancel(request.request_id)  # windows before the one that was refused
            outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))

    def _add_one(self, asked: Asked, windows: Windows) -> None:
        try:
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
        serving = self._serve_one(request, self.under_way.begins(), outbox)
        task = asyncio.run_coroutine_threadsafe(serving, self.loop)
        self.live[request.request_id] = task
        task.add_done_callback(lambda _: self._ended(request.request_id))

    def _ended(self, request_id: str) -> None:
        self.live.pop(request_id, None)
        self.under_way.ends()

    async def _serve_one(self, request: Request, begun: int, outbox: Outbox) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            # In a thread: a text of 200,000 tokens takes seconds, and the loop serves others meanwhile.
            renderings = await self.loop.run_in_executor(self.rendering, self.renderer.render, request)
            windows = [Asked(request, one, index, begun) for index, one in enumerate(renderings)]
            answers = await asyncio.gather(*(self._answer(asked, outbox) for asked in windows))
            done = protocol.Done(request.request_id, gathered(answers), self.gauge.kv_peak_share)
            outbox.send(done)
        except EngineDeadError as error:
            outbox.send(protocol.Failed(one_line(error)))
            end_group()
        except Exception as error:  # vLLM refuses this request; others go on
            outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))

    async def _answer(self, asked: Asked, outbox: Outbox) -> Completion:
        async for output in self.engine.generate(asked.prompt, asked.params, request_id=asked.id):
            asked.take(output)
            outbox.alive()
        return asked.completion(output, self.under_way.most_since(asked.begun))
