"""What vLLM's workers tell of themselves: vLLM mixes this class into its Worker (`worker_extension_cls`).

The attributes it reads are vLLM's own and no stable interface: what a release does not have is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class Telling:
    """Methods for `collective_rpc`; each worker answers for its own share of the model."""

    model_runner: Any
    device: Any

    def llmeval_memory(self) -> dict[str, int | None]:
        """Bytes, under the names of MemoryBreakdown's fields."""
        weights = getattr(self.model_runner, "model_memory_usage", None) or tensor_bytes(
            [*self.model_runner.get_model().parameters(), *self.model_runner.get_model().buffers()]
        )
        consumed = getattr(self, "total_consumed", None)
        return {
            "weights_bytes": int(weights),
            "kv_pool_bytes": tensor_bytes(getattr(self.model_runner, "kv_caches", [])) or None,
            "activation_peak_bytes": getattr(self, "peak_activation_memory", None),
            "other_bytes": None if consumed is None else max(0, int(consumed - weights)),
            "total_bytes": getattr(getattr(self, "init_snapshot", None), "total_memory", None),
        }

    def llmeval_tidy_up(self) -> None:
        """Remove the file by which workers find each other, once they have: whoever is killed leaves it behind."""
        where = getattr(self, "distributed_init_method", None) or ""
        if where.startswith("file://"):
            Path(where.removeprefix("file://")).unlink(missing_ok=True)

    def llmeval_kernels(self) -> dict[str, list[str]]:
        """Which code was chosen for attention and for linear layers, the most frequent first."""
        modules = list(self.model_runner.get_model().modules())
        return {
            "attention": ranked(map(attention_backend, modules)),
            "linear": ranked(map(linear_method, modules)),
        }


def tensor_bytes(found: Iterable[Any]) -> int:
    """Bytes behind tensors (also in lists of them), each storage once: weights may be tied."""
    storages = {}
    for one in found:
        for tensor in one if isinstance(one, (list, tuple)) else [one]:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def attention_backend(module: Any) -> str | None:
    get_name = getattr(getattr(module, "attn_backend", None), "get_name", None)
    return str(get_name()) if get_name else None


def linear_method(module: Any) -> str | None:
    """`AWQMarlinLinearMethod (MarlinLinearKernel)`: how weights are multiplied, and by which kernel."""
    method = getattr(module, "quant_method", None)
    if method is None:
        return None
    kernel = getattr(method, "kernel", None) or getattr(getattr(module, "scheme", None), "kernel", None)
    return f"{type(method).__name__} ({type(kernel).__name__})" if kernel else type(method).__name__


def ranked(names: Iterable[str | None]) -> list[str]:
    return [name for name, _ in Counter(name for name in names if name).most_common()]
