"""What vLLM chose, where its memory goes and how full its cache is; runs inside an engine host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import torch
import vllm
from vllm.platforms import current_platform
from vllm.v1.metrics.loggers import StatLoggerBase

from pytest_llmeval.engines.host.worker import Outbox
from pytest_llmeval.schema import MemoryBreakdown


def facts(config: Any, kernels: Mapping[str, list[str]] = MappingProxyType({})) -> dict[str, Any]:
    """What vLLM really chose, for the manifest."""
    compilation = config.compilation_config
    return {
        "vllm": vllm.__version__,
        "platform": current_platform.device_type,
        "processors": processors(config.parallel_config.world_size),
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "quantization": config.model_config.quantization,
        "attention": kernels.get("attention"),
        "linear": kernels.get("linear"),
        "compilation": getattr(compilation.mode, "name", str(compilation.mode)),
        "graphs": getattr(compilation.cudagraph_mode, "name", str(compilation.cudagraph_mode)),
        "max_model_len": config.model_config.max_model_len,
        "max_num_seqs": config.scheduler_config.max_num_seqs,
        "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
        "chunked_prefill": config.scheduler_config.enable_chunked_prefill,
        "prefix_caching": config.cache_config.enable_prefix_caching,
        "kv_cache_dtype": config.cache_config.cache_dtype,
        "kv_tokens": kv_tokens(config),
        "block_size": config.cache_config.block_size,
    }


def processors(workers: int) -> int:
    """How many processors the engine keeps busy while it answers.

    On a CPU its threads compute. On GPUs this host's loop, vLLM's core and, where there are several, its workers each
    go round on one.
    """
    if current_platform.is_cpu():
        return int(torch.get_num_threads()) * workers
    return 2 + (workers if workers > 1 else 0)


def kv_tokens(config: Any) -> int | None:
    """How many tokens the KV pool holds, as vLLM counts; older releases tell blocks only."""
    cache = config.cache_config
    if tokens := getattr(cache, "kv_cache_size_tokens", None):
        return int(tokens)
    return cache.num_gpu_blocks * cache.block_size if cache.num_gpu_blocks else None


def breakdown(config: Any, workers: Sequence[Mapping[str, int | None]]) -> MemoryBreakdown:
    """The workers' memory in one; a figure that one of them does not have is nobody's."""
    totals: dict[str, int | None] = {}
    for key in workers[0] if workers else ():
        parts = [worker[key] for worker in workers]
        totals[key] = None if None in parts else sum(part for part in parts if part is not None)
    where: Literal["device", "host"] = "host" if current_platform.is_cpu() else "device"
    return MemoryBreakdown(where=where, kv_pool_tokens=kv_tokens(config), **totals)


class Gauge(StatLoggerBase):  # type: ignore[misc]  # vllm is untyped here
    """Is told of every step of the scheduler: a sign of life, and how much of the KV pool is in use."""

    def __init__(self) -> None:
        self.kv_peak_share: float | None = None
        self.step: Callable[[], None] = lambda: None

    def serve(self, outbox: Outbox) -> None:
        """From now on steps count; the warm-up is behind us."""
        self.kv_peak_share = None
        self.step = outbox.alive

    def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
        self.step()
        if scheduler_stats is not None:
            self.kv_peak_share = max(scheduler_stats.kv_cache_usage, self.kv_peak_share or 0.0)

    def log_engine_initialized(self) -> None:
        """vLLM wants a word at the start; this gauge has none."""
