"""Speed of light: how many tokens a second a device's memory bandwidth allows one stream.

For each token a single stream must read every weight that takes part in it, and the keys and values of all tokens
before it. So tok/s ≤ bandwidth / (bytes of active weights + bytes of KV cache read); see docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Published bandwidth in GB/s, by the name NVML gives (vendors' data sheets). Others are taken from NVML's highest
# memory clock and bus width, which agrees with these within 3 %.
PUBLISHED_GB_S = {
    "NVIDIA H200": 4800,
    "NVIDIA H200 NVL": 4800,
    "NVIDIA H100 80GB HBM3": 3350,
    "NVIDIA H100 NVL": 3938,
    "NVIDIA H100 PCIe": 2039,
    "NVIDIA A100-SXM4-80GB": 2039,
    "NVIDIA A100-SXM4-40GB": 1555,
    "NVIDIA A100 80GB PCIe": 1935,
    "NVIDIA A100-PCIE-40GB": 1555,
    "NVIDIA L40S": 864,
    "NVIDIA L4": 300,
    "NVIDIA A10G": 600,
    "NVIDIA A10": 600,
    "Tesla T4": 320,
    "NVIDIA GeForce RTX 4090": 1008,
    "NVIDIA GeForce RTX 3090": 936,
}


BYTES_OF = {"float32": 4, "float": 4, "bfloat16": 2, "float16": 2, "half": 2}
HALF_BYTES = 2  # of a value in bfloat16 or float16


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second of one device, and where the figure comes from."""

    bytes_s: float
    source: str


@dataclass(frozen=True)
class Shape:
    """What a checkpoint's config.json says: parameters in all and read for one token, KV values of one token.

    `active` leaves out the embedding table, of which one row is read, and experts that a token is not sent to.
    `head` is the output head's part of both, `tables` that and the embedding table, where the two are not one.
    """

    parameters: int
    active: int
    kv_values: int
    head: int = 0
    tables: int = 0

    def active_bytes(self, weight_bytes: float) -> float:
        """What is read for one token of `weight_bytes` in all.

        Where weights take less than two bytes each, they are quantised; tables then usually keep their two.
        """
        others = weight_bytes - HALF_BYTES * self.tables
        if weight_bytes >= HALF_BYTES * self.parameters or others <= 0:
            return weight_bytes * self.active / self.parameters
        each = others / (self.parameters - self.tables)
        return HALF_BYTES * self.head + each * (self.active - self.head)


@dataclass(frozen=True)
class SpeedOfLight:
    """The limit of one stream in tokens a second, and the share of it that was reached; above 1 is impossible."""

    limit_tok_s: float
    share: float
    bytes_per_token: float
    bandwidth: Bandwidth


def bandwidth_of(name: str, by_clocks_bytes_s: float | None) -> Bandwidth | None:
    """A device's memory bandwidth: published where its name is known, else as its clocks and bus say."""
    if name in PUBLISHED_GB_S:
        return Bandwidth(PUBLISHED_GB_S[name] * 1e9, "published")
    if by_clocks_bytes_s:
        return Bandwidth(by_clocks_bytes_s, "memory clock × bus width")
    return None


def speed_of_light(
    output_tok_s: float,
    *,
    weight_bytes: float,
    shape: Shape | None,
    context_tokens: float,
    kv_value_bytes: int,
    bandwidth: Bandwidth,
    devices: int = 1,
) -> SpeedOfLight:
    """Hold single-stream `output_tok_s` against the limit, with weights that `devices` read at the same time.

    `weight_bytes` is what the engine loaded. Without a `shape` every byte counts as read, which is right for dense
    models (their embedding table aside) and makes the limit too low for mixtures of experts.
    """
    kv_bytes = shape.kv_values * kv_value_bytes * context_tokens if shape else 0.0
    read = (shape.active_bytes(weight_bytes) if shape else weight_bytes) + kv_bytes
    limit = bandwidth.bytes_s * devices / read
    return SpeedOfLight(limit, output_tok_s / limit, read, bandwidth)


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """Count parameters from a config.json in the hub's format; None for a family that is not known here.

    Known: Llama, Mistral, Qwen2, Qwen3 and their mixtures of experts, and DeepSeek-V2 with latent attention.
    """
    if not _is_known(config):
        return None
    hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    attention, kv_values = _latent(config) if config.get("kv_lora_rank") else _grouped(config)
    table = int(config["vocab_size"]) * hidden
    tied = bool(config.get("tie_word_embeddings"))
    total = active = table  # the output head: read for every token
    for layer in range(layers):
        feed, read = _feed_forward(config, layer)
        total += attention + feed + 2 * hidden
        active += attention + read + 2 * hidden
    tables = table if tied else 2 * table
    return Shape(total + tables - table, active, kv_values * layers, table, tables)


def draws_several(engine: Mapping[str, Any]) -> bool:
    """True where an entry's `engine` table asks for speculative decoding: a reading of all weights may give several
    tokens, and the limit is none."""
    return bool(engine.get("speculative_config"))


def kv_value_bytes(facts: Mapping[str, Any]) -> int:
    """Bytes of one cached value, from what the engine says it chose; 2 where it does not say."""
    cache = str(facts.get("kv_cache_dtype"))
    if cache.startswith(("fp8", "int8")):
        return 1
    return BYTES_OF.get(cache) or BYTES_OF.get(str(facts.get("dtype")), HALF_BYTES)


def _is_known(config: Mapping[str, Any]) -> bool:
    family = str(config.get("model_type", ""))
    return family in {"llama", "mistral", "qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "deepseek_v2"}


def _grouped(config: Mapping[str, Any]) -> tuple[int, int]:
    """Parameters of one layer's attention, and the values it caches of one token."""
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    size = int(config.get("head_dim") or hidden // heads)
    cached = 2 * int(config.get("num_key_value_heads") or heads) * size
    return 2 * hidden * heads * size + hidden * cached, cached


def _latent(config: Mapping[str, Any]) -> tuple[int, int]:
    """The same for latent attention, which caches one compressed vector and one rotary key."""
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    plain, rotary = int(config["qk_nope_head_dim"]), int(config["qk_rope_head_dim"])
    rank, value = int(config["kv_lora_rank"]), int(config["v_head_dim"])
    query_width = heads * (plain + rotary)
    narrow = config.get("q_lora_rank")
    query = int(narrow) * (hidden + query_width) if narrow else hidden * query_width
    keys = hidden * (rank + rotary) + rank * heads * (plain + value)
    return query + keys + heads * value * hidden, rank + rotary


def _feed_forward(config: Mapping[str, Any], layer: int) -> tuple[int, int]:
    """Parameters of one layer's feed-forward part: in all, and read for one token."""
    hidden = int(config["hidden_size"])
    experts = int(config.get("n_routed_experts") or config.get("num_experts") or 0)
    if not experts or layer < int(config.get("first_k_dense_replace") or 0):
        dense = 3 * hidden * int(config["intermediate_size"])
        return dense, dense
    one = 3 * hidden * int(config["moe_intermediate_size"])
    shared = int(config.get("n_shared_experts") or 0) * one + hidden * experts  # and the router
    shared += 3 * hidden * int(config.get("shared_expert_intermediate_size") or 0)
    return experts * one + shared, int(config["num_experts_per_tok"]) * one + shared
