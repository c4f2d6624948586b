"""What vLLM is asked inside an engine host, and what becomes of its outputs: the same for both drivers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from vllm import SamplingParams
from vllm.outputs import RequestOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind

from pytest_llmeval import devices
from pytest_llmeval.placement.places import MEMORY_SHARE_VARIABLE
from pytest_llmeval.prompting.rendering import Rendering
from pytest_llmeval.schema import Completion, ModelSpec, Request, Sampling, Timing

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
        **(its_part_of_memory(spec) if current_platform.is_cpu() else {}),
    }


def its_part_of_memory(spec: ModelSpec) -> dict[str, float]:
    """Beside other engines of this machine, an engine that would take a share of its memory takes it of its part."""
    part = os.environ.get(MEMORY_SHARE_VARIABLE)
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
