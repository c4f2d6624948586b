"""Checkpoints of the registry's coding models without weights: real shapes, a tokenizer that is here, a registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmeval.telemetry.roofline import Shape, shape_of
from pytest_llmeval.units import GIB

ROOT = Path(__file__).parents[2]
CONFIGS = Path(__file__).parent / "configs"
TOKENIZER = ROOT / "pytest_llmeval/models/tiny_coder"
BYTES_PER_WEIGHT = 2  # bfloat16
CONTEXT_TOKENS = 8192
OVERHEAD_BYTES = 5 * GIB  # activations, graphs, the CUDA context: 2 GiB were seen on an H100
UTILIZATION = 0.90
# Graphs of decoding alone, and no compilation: a load of half a minute instead of more than one.
QUICK: Mapping[str, Any] = {
    "mode": 0,
    "cudagraph_mode": "FULL_DECODE_ONLY",
    "cudagraph_capture_sizes": [1, 2, 4, 8, 16, 32, 64, 128],
}
# Of a registered entry only this says how a model is served; the rest is this program's own.
KEPT = ("attention_backend",)
# What AutoAWQ writes by default: 4 bits, and for 128 weights one scale of 16 bits and one zero of 4.
AWQ: Mapping[str, Any] = {
    "quant_method": "awq",
    "bits": 4,
    "group_size": 128,
    "zero_point": True,
    "version": "gemm",
    "modules_to_not_convert": ["mlp.gate"],  # routers of mixtures of experts stay as they are
}
AWQ_BYTES_PER_WEIGHT = (4 + (16 + 4) / 128) / 8
# Served otherwise than registered, where --models names them: the registered entry, and what else of it.
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "qwen3_8b_fp8": ("qwen3_8b", {"quantization": "fp8"}),  # weights turned into fp8 as they are read
    "qwen3_14b_bf16": ("qwen3_14b", {}),
    "qwen3_coder_30b_bf16": ("qwen3_coder_30b", {}),
}


@dataclass(frozen=True)
class Checkpoint:
    """A model of the registry by shape. `engine` are vLLM's arguments, the same for us and for vLLM alone."""

    name: str
    folder: Path
    shape: Shape
    engine: Mapping[str, Any]
    is_awq: bool = False

    @property
    def weight_bytes(self) -> int:
        """What its files would hold; embeddings and head of an AWQ checkpoint keep their 16 bits."""
        tables = self.shape.tables if self.is_awq else self.shape.parameters
        rest = self.shape.parameters - tables
        return int(tables * BYTES_PER_WEIGHT + rest * AWQ_BYTES_PER_WEIGHT)

    @property
    def needed_bytes(self) -> int:
        """Weights, the KV cache of one whole context, and what is held besides."""
        cache = int(CONTEXT_TOKENS * self.shape.kv_values * BYTES_PER_WEIGHT)
        return self.weight_bytes + cache + OVERHEAD_BYTES

    def lacks(self, memory_bytes: int | None) -> str | None:
        """Why it does not fit a device; None where it does, or where the device tells no size."""
        room = None if memory_bytes is None else UTILIZATION * memory_bytes
        if room is None or self.needed_bytes <= room:
            return None
        return f"does not fit: {self.needed_bytes / GIB:.1f} GiB are needed, {room / GIB:.1f} GiB may be used"


def checkpoints(
    folder: Path, wanted: Sequence[str] | None, *, rehearsal: bool, compiled: bool
) -> list[Checkpoint]:
    """The coding models as they are registered, or those `wanted`, written under `folder`, the lightest first."""
    # Not before: a machine with torch alone can run the sampler's part, and names of models are known to all parts.
    from pytest_llmeval.registry import load_registry

    registered = load_registry(ROOT / "models.toml")
    found = []
    for name in wanted or sorted(path.stem for path in CONFIGS.glob("*.json")):
        base, change = VARIANTS.get(name, (name, {}))
        spec = registered[base]
        config = json.loads((CONFIGS / f"{base}.json").read_text())
        config = shrunk(config) if rehearsal else config
        shape = shape_of(config)
        assert shape is not None
        is_awq = name == base and spec.model.endswith("-AWQ") and not rehearsal
        if is_awq:
            config["quantization_config"] = dict(AWQ)
        kept = {key: value for key, value in spec.engine.items() if key in KEPT}
        engine = _on_cpu() if rehearsal else _on_gpu({**kept, **change}, compiled)
        found.append(Checkpoint(name, _written(folder / name, config), shape, engine, is_awq))
    return sorted(found, key=lambda one: one.weight_bytes)


def names() -> list[str]:
    """What may be wanted."""
    return [*sorted(path.stem for path in CONFIGS.glob("*.json")), *VARIANTS]


def _written(folder: Path, config: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)
    return folder


def _on_gpu(kept: Mapping[str, Any], compiled: bool) -> dict[str, Any]:
    sizes = {"max_model_len": CONTEXT_TOKENS, "max_num_seqs": 128, "max_num_batched_tokens": 8192}
    common = {"load_format": "dummy", "dtype": "bfloat16", "gpu_memory_utilization": UTILIZATION}
    return {**common, **sizes, **kept, **({} if compiled else {"compilation_config": dict(QUICK)})}


def _on_cpu() -> dict[str, Any]:
    sizes = {"max_model_len": 1024, "max_num_seqs": 32, "kv_cache_memory_bytes": 64 << 20}
    quiet = {"enforce_eager": True, "enable_chunked_prefill": False}
    return {"load_format": "dummy", "dtype": "bfloat16", **sizes, **quiet}


def shrunk(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same architecture in small, for a rehearsal on a CPU."""
    small = {
        **{
            "hidden_size": 256,
            "intermediate_size": 512,
            "moe_intermediate_size": 128,
            "num_hidden_layers": 2,
        },
        **{"num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 4096, "max_window_layers": 2},
        **{"num_experts": 8, "n_routed_experts": 8, "num_experts_per_tok": 2, "head_dim": 64},
    }
    return {**config, **{key: value for key, value in small.items() if key in config}}


def registry(found: list[Checkpoint], output_tokens: int, *, rehearsal: bool) -> str:
    """A models.toml of these checkpoints."""
    device = "any" if rehearsal else "gpu"
    return "".join(
        f"[models.{one.name}]\nmodel = {json.dumps(str(one.folder))}\nprompt_style = 'completion'\n"
        f"categories = ['dummy']\nneeds = {{ device = '{device}', hub = false }}\n"
        f"sampling = {{ max_tokens = {output_tokens}, stop = [] }}\nengine = {_toml(one.engine)}\n\n"
        for one in found
    )


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)  # what is in these tables is written alike in TOML


def problems(count: int) -> list[dict[str, str]]:
    """Tasks of a few hundred tokens, no two alike; random weights solve none of them."""
    return [
        {
            "task_id": f"made/{number}",
            "prompt": _prompt(number),
            "entry_point": "scaled",
            "test": f"def check(candidate):\n    assert candidate([1, 2]) == [{number}, {2 * number}]\n",
            "canonical_solution": f"    return [{number} * value for value in values]\n",
        }
        for number in range(1, count + 1)
    ]


def _prompt(number: int) -> str:
    examples = "".join(
        f"    >>> scaled([{first}, {first + number}])\n    [{number * first}, {number * (first + number)}]\n"
        for first in range(number, number + 4)
    )
    return (
        f"def scaled(values: list[int]) -> list[int]:\n"
        f'    """Give each of the values multiplied by {number}, in the order in which they came.\n\n'
        f'{examples}    """\n'
    )
