"""vLLM inside an engine host. Importing this module pays vLLM's imports, so only the host does it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Mapping
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


def sampling_params(sampling: Sampling) -> SamplingParams:
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop),
        seed=sampling.seed if sampling.temperature else None,
        output_kind=RequestOutputKind.FINAL_ONLY,
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
        self.params = sampling_params(request.sampling)

    def completion(self, output: RequestOutput) -> Completion:
        answer = output.outputs[0]
        return Completion(
            text=answer.text,
            finish_reason=answer.finish_reason,
            prompt_tokens=len(self.token_ids),
            completion_tokens=len(answer.token_ids),
            cached_tokens=output.num_cached_tokens,
            cut_tokens=self.cut_tokens,
            timing=timing(output.metrics, self.concurrency),
        )


def timing(metrics: Any, concurrency: int) -> Timing | None:
    """Seconds of one request, from vLLM's RequestStateStats.

    Its `*_ts` are one monotonic clock and `arrival_time` another: only differences of like stamps are taken.
    Time to first token counts from the moment the engine core queued the request.
    """
    if metrics is None or not metrics.first_token_ts:
        return None
    return Timing(
        concurrency=concurrency,
        queue_s=metrics.scheduled_ts - metrics.queued_ts,
        ttft_s=metrics.first_token_ts - metrics.queued_ts,
        decode_s=metrics.last_token_ts - metrics.first_token_ts,
        e2e_s=metrics.last_token_ts - metrics.queued_ts,
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
                if isinstance(message, Request):
                    self._add(message, outbox)
                else:
                    self.engine.reset_prefix_cache()
            for output in self.engine.step():
                if output.finished:
                    rendered = self.live.pop(output.request_id)
                    outbox.send(protocol.Done(rendered.request.request_id, rendered.completion(output)))

    def _add(self, request: Request, outbox: Outbox) -> None:
        try:
            rendered = Rendered(request, self.tokenizer, self.max_model_len, len(self.live) + 1)
            prompt = {"prompt_token_ids": rendered.token_ids}
            self.engine.add_request(request.request_id, prompt, rendered.params)
            self.live[request.request_id] = rendered
        except Exception as error:  # vLLM refuses this request; others go on
            outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))


def _waiting(inbox: Inbox, block: bool) -> list[Request | protocol.ResetCache]:
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
        self.live = 0
        await self._answer(WARM_UP_PROMPT, warm_up_params(), "warm-up")
        await self.engine.reset_prefix_cache()
        return facts(self.engine.vllm_config)

    def serve(self, inbox: Inbox, outbox: Outbox) -> None:
        while True:
            message = inbox.get()
            if isinstance(message, Request):
                asyncio.run_coroutine_threadsafe(self._serve_one(message, outbox), self.loop)
            else:
                # Waited for, so that requests behind it find the cache empty.
                asyncio.run_coroutine_threadsafe(self.engine.reset_prefix_cache(), self.loop).result()

    async def _serve_one(self, request: Request, outbox: Outbox) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        self.live += 1
        try:
            rendered = Rendered(request, self.tokenizer, self.max_model_len, self.live)
            prompt = {"prompt_token_ids": rendered.token_ids}
            output = await self._answer(prompt, rendered.params, request.request_id)
            outbox.send(protocol.Done(request.request_id, rendered.completion(output)))
        except EngineDeadError as error:
            outbox.send(protocol.Failed(one_line(error)))
            end_group()
        except Exception as error:  # vLLM refuses this request; others go on
            outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))
        finally:
            self.live -= 1

    async def _answer(self, prompt: Any, params: SamplingParams, request_id: str) -> RequestOutput:
        outputs = [output async for output in self.engine.generate(prompt, params, request_id=request_id)]
        return outputs[-1]  # FINAL_ONLY: it is also the only one
