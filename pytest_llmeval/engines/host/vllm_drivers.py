"""vLLM inside an engine host. Importing this module pays vLLM's imports, so only the host does it."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

# The engine's heavy modules are imported here on purpose: the host imports while another model still runs.
import vllm.v1.engine.async_llm
import vllm.v1.engine.llm_engine
import vllm.v1.executor.uniproc_executor
from vllm import AsyncEngineArgs, EngineArgs, SamplingParams
from vllm.outputs import RequestOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.worker import Inbox, Outbox, end_group, one_line
from pytest_llmeval.prompting.rendering import render
from pytest_llmeval.schema import Completion, ModelSpec, Request, Sampling, Timing

if current_platform.is_cpu():
    import vllm.v1.worker.cpu_worker
else:
    import vllm.v1.worker.gpu_worker

WARM_UP_TOKENS = 8
WARM_UP_PROMPT: Any = {"prompt_token_ids": [1] * WARM_UP_TOKENS}


def engine_arguments(spec: ModelSpec) -> dict[str, Any]:
    """vLLM's arguments: the entry's `engine` table verbatim, over what this package needs to measure."""
    return {
        "model": spec.model,
        "revision": spec.revision,
        "disable_log_stats": False,  # else RequestOutput.metrics is None
        # vLLM rewinds the generator of a seeded request whose prefill was split, which torch's CPU generator
        # cannot do ("CPU Generator does not use offset"): the engine dies. So nothing is split there.
        **({"enable_chunked_prefill": False} if current_platform.is_cpu() else {}),
        **spec.engine,
    }


def sampling_params(sampling: Sampling, token_times: bool = False) -> SamplingParams:
    """vLLM's parameters; with `token_times` each token is told as it comes, otherwise the whole answer at its end."""
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop),
        seed=sampling.seed if sampling.temperature else None,
        min_tokens=sampling.min_tokens,
        ignore_eos=sampling.ignore_eos,
        output_kind=RequestOutputKind.DELTA if token_times else RequestOutputKind.FINAL_ONLY,
    )


def warm_up_params() -> SamplingParams:
    """One short answer nobody sees, so that the first measured request does not pay for first times."""
    return SamplingParams(max_tokens=WARM_UP_TOKENS, temperature=0, ignore_eos=True)


def facts(config: Any) -> dict[str, Any]:
    """What vLLM really chose, for the manifest."""
    return {
        "vllm": vllm.__version__,
        "platform": current_platform.device_type,
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "quantization": config.model_config.quantization,
        "max_model_len": config.model_config.max_model_len,
        "enforce_eager": config.model_config.enforce_eager,
        "gpu_blocks": config.cache_config.num_gpu_blocks,
        "block_size": config.cache_config.block_size,
    }


def check_tokenizer(tokenizer: Any) -> None:
    """A checkpoint without tokenizer files loads, with a tokenizer that knows no tokens.

    Raises:
        ValueError: it is such a one.
    """
    if not tokenizer.encode("def f():\n    return 1"):
        raise ValueError("the tokenizer gives no tokens for a line of code")


class Rendered:
    """A request on its way through the engine, with what its completion will need."""

    def __init__(self, request: Request, tokenizer: Any, max_model_len: int, concurrency: int) -> None:
        self.request = request
        self.concurrency = concurrency
        budget = max_model_len - request.sampling.max_tokens
        self.token_ids, self.cut_tokens = render(request.prompt, tokenizer, budget)
        self.params = sampling_params(request.sampling, request.token_times)
        self._texts: list[str] = []
        self._stamps: list[float] = []  # one per token: when its output came

    def take(self, output: RequestOutput) -> None:
        """Take in an output of the engine: the whole answer, or its next tokens."""
        answer = output.outputs[0]
        self._texts.append(answer.text)
        self._stamps += [time.monotonic()] * len(answer.token_ids)

    def completion(self, last: RequestOutput) -> Completion:
        return Completion(
            text="".join(self._texts),
            finish_reason=last.outputs[0].finish_reason,
            prompt_tokens=len(self.token_ids),
            completion_tokens=len(self._stamps),
            cached_tokens=last.num_cached_tokens,
            cut_tokens=self.cut_tokens,
            timing=timing(last.metrics, self.concurrency, self._stamps if self.request.token_times else None),
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

    def load(self, spec: ModelSpec) -> Mapping[str, Any]:
        from vllm.v1.engine.llm_engine import LLMEngine

        self.engine = LLMEngine.from_engine_args(EngineArgs(**engine_arguments(spec)))
        self.tokenizer = self.engine.get_tokenizer()
        check_tokenizer(self.tokenizer)
        self.max_model_len = self.engine.model_config.max_model_len
        self.live: dict[str, Rendered] = {}
        self._warm_up()
        return facts(self.engine.vllm_config)

    def _warm_up(self) -> None:
        self.engine.add_request("warm-up", WARM_UP_PROMPT, warm_up_params())
        while self.engine.has_unfinished_requests():
            self.engine.step()
        self.engine.reset_prefix_cache()

    def serve(self, inbox: Inbox, outbox: Outbox) -> None:
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
                if self.live.pop(request_id, None):
                    self.engine.abort_request([request_id])

    def _step(self, outbox: Outbox) -> None:
        for output in self.engine.step():
            rendered = self.live[output.request_id]
            rendered.take(output)
            if output.finished:
                del self.live[output.request_id]
                outbox.send(protocol.Done(output.request_id, rendered.completion(output)))
        outbox.alive()

    def _add(self, request: Request, outbox: Outbox) -> None:
        try:
            rendered = Rendered(request, self.tokenizer, self.max_model_len, len(self.live) + 1)
            prompt = {"prompt_token_ids": rendered.token_ids}
            self.engine.add_request(request.request_id, prompt, rendered.params)
            self.live[request.request_id] = rendered
        except Exception as error:  # vLLM refuses this request; others go on
            outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))


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

    def load(self, spec: ModelSpec) -> Mapping[str, Any]:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="vllm", daemon=True).start()
        facts_found: Mapping[str, Any] = asyncio.run_coroutine_threadsafe(
            self._load(spec), self.loop
        ).result()
        return facts_found

    async def _load(self, spec: ModelSpec) -> Mapping[str, Any]:
        from vllm.v1.engine.async_llm import AsyncLLM

        self.engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_arguments(spec)))
        tokenizer = self.engine.get_tokenizer()
        self.tokenizer = await tokenizer if asyncio.iscoroutine(tokenizer) else tokenizer
        check_tokenizer(self.tokenizer)
        self.max_model_len = self.engine.model_config.max_model_len
        self.live: dict[str, Future[None]] = {}
        async for _ in self.engine.generate(WARM_UP_PROMPT, warm_up_params(), request_id="warm-up"):
            pass
        await self.engine.reset_prefix_cache()
        return facts(self.engine.vllm_config)

    def serve(self, inbox: Inbox, outbox: Outbox) -> None:
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
        task = asyncio.run_coroutine_threadsafe(
            self._serve_one(request, len(self.live) + 1, outbox), self.loop
        )
        self.live[request.request_id] = task
        task.add_done_callback(lambda _: self.live.pop(request.request_id, None))

    async def _serve_one(self, request: Request, concurrency: int, outbox: Outbox) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            rendered = Rendered(request, self.tokenizer, self.max_model_len, concurrency)
            outbox.send(protocol.Done(request.request_id, await self._answer(rendered, outbox)))
        except EngineDeadError as error:
            outbox.send(protocol.Failed(one_line(error)))
            end_group()
        except Exception as error:  # vLLM refuses this request; others go on
            outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))

    async def _answer(self, rendered: Rendered, outbox: Outbox) -> Completion:
        prompt: Any = {"prompt_token_ids": rendered.token_ids}
        async for output in self.engine.generate(
            prompt, rendered.params, request_id=rendered.request.request_id
        ):
            rendered.take(output)
            outbox.alive()
        return rendered.completion(output)
