"""Percentiles, goodput, the knee, speed of light, memory to serve: against values computed by hand or by numpy."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmeval.metrics.latency import Limits, Spread, knee, latencies, percentile
from pytest_llmeval.schema import Completion, Timing
from pytest_llmeval.serving.loads import arrivals
from pytest_llmeval.serving.requests import RequestMaker
from pytest_llmeval.telemetry.roofline import (
    Bandwidth,
    bandwidth_of,
    kv_value_bytes,
    shape_of,
    speed_of_light,
)

CONFIGS = Path(__file__).parents[2] / "benchmarks/gpu/configs"


def answer(ttft_s: float, tokens: int, per_token_s: float, disturbed: str | None = None) -> Completion:
    stamps = tuple(ttft_s + place * per_token_s for place in range(tokens))
    decode_s = (tokens - 1) * per_token_s
    timing = Timing(1, 0.0, ttft_s, decode_s, ttft_s + decode_s, stamps, disturbed)
    return Completion("", "length", 8, tokens, timing=timing)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentiles_are_numpys(values, share):
    numpy = pytest.importorskip("numpy")
    expected = float(numpy.percentile(values, 100 * share))
    assert percentile(sorted(values), share) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_latencies_are_those_of_vllms_definitions():
    found = latencies([answer(0.1, 11, 0.01), answer(0.3, 5, 0.03)])
    assert found.ttft_s.mean == pytest.approx(0.2)
    assert found.tpot_s.mean == pytest.approx(0.02)  # a mean over requests
    assert found.itl_s.count == 10 + 4  # over all gaps
    assert found.itl_s.mean == pytest.approx((10 * 0.01 + 4 * 0.03) / 14)
    assert found.response_s.most == pytest.approx(0.42)


def test_one_token_has_no_time_per_token_and_disturbed_times_count_for_nothing():
    found = latencies([answer(0.1, 1, 0.0), answer(9.0, 4, 9.0, disturbed="died under way")])
    assert found.tpot_s is None
    assert found.itl_s is None
    assert found.ttft_s == Spread(1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
    assert latencies([]).ttft_s is None


@pytest.mark.parametrize(
    ("completion", "kept"),
    [
        (answer(0.5, 3, 0.05), True),
        (answer(0.51, 3, 0.05), False),
        (answer(0.1, 3, 0.06), False),
        (answer(0.1, 1, 0.0), True),
        (Completion("no times"), False),
        # Its times are those of the second engine alone; its user waited for the first one's end besides.
        (answer(0.1, 3, 0.01, disturbed="died under way"), False),
    ],
)
def test_a_request_keeps_to_limits_by_its_first_token_and_its_mean_gap(completion, kept):
    assert Limits(ttft_s=0.5, itl_s=0.05).met_by(completion) is kept


def test_the_knee_is_where_throughput_stops_to_grow_with_concurrency():
    saturating = [(level, min(level, 16) * 100.0) for level in (1, 2, 4, 8, 16, 32, 64)]
    assert knee(saturating) == 16
    assert knee([(1, 100.0), (2, 101.0), (4, 102.0)]) == 1
    assert knee(saturating[:2]) is None


def test_arrivals_are_seeded_and_have_the_rate_that_was_asked_for():
    drawn = [due for due, _ in zip(arrivals(5.0, seed=1), range(5001), strict=False)]
    again = [due for due, _ in zip(arrivals(5.0, seed=1), range(5001), strict=False)]
    assert drawn == again
    assert drawn[0] == 0
    assert drawn[-1] / 5000 == pytest.approx(0.2, rel=0.05)
    gaps = [later - earlier for earlier, later in itertools.pairwise(drawn)]
    short = sum(gap < 0.2 for gap in gaps) / len(gaps)
    assert short == pytest.approx(1 - math.exp(-1), abs=0.03)  # exponential: not evenly spaced


def test_synthetic_prompts_are_seeded_exact_and_never_alike():
    made, again = RequestMaker(2048, 7), RequestMaker(2048, 7)
    first, second = made.make(300, 20), made.make(300, 20)
    assert first == again.make(300, 20)
    assert first.prompt.token_ids != second.prompt.token_ids
    assert len(first.prompt.token_ids) == 300
    assert all(102 <= token < 1843 for token in first.prompt.token_ids)
    assert (first.sampling.max_tokens, first.sampling.ignore_eos) == (20, True)


@pytest.mark.parametrize(
    ("model", "billions", "active", "kv_bytes"),
    [
        ("qwen3_8b", 8.19, 7.57, 147456),
        ("qwen3_14b", 14.77, 13.99, 163840),
        ("qwen3_coder_30b", 30.53, 3.04, 98304),
        ("deepseek_coder_16b", 15.71, 2.45, 31104),
        ("codestral_22b", 22.25, 22.05, 229376),
    ],
)
def test_parameters_of_real_architectures_agree_with_what_is_published(model, billions, active, kv_bytes):
    shape = shape_of(json.loads((CONFIGS / f"{model}.json").read_text()))
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.01)
    assert shape.active / 1e9 == pytest.approx(active, abs=0.01)
    assert 2 * shape.kv_values == kv_bytes


def test_a_speed_above_the_bandwidth_limit_is_seen():
    shape = shape_of(json.loads((CONFIGS / "qwen3_8b.json").read_text()))
    h100 = bandwidth_of("NVIDIA H100 80GB HBM3", None)
    about = {"weight_bytes": 2 * shape.parameters, "shape": shape, "kv_value_bytes": 2, "bandwidth": h100}
    found = speed_of_light(145.7, context_tokens=0, **about)  # published for vLLM 0.30 on an H100
    assert found.limit_tok_s == pytest.approx(3350e9 / (2 * shape.active))
    assert 0.6 < found.share < 0.8
    assert speed_of_light(300, context_tokens=0, **about).share > 1
    long = speed_of_light(145.7, context_tokens=32000, **about)
    assert long.bytes_per_token - found.bytes_per_token == 32000 * 147456


def test_of_quantised_weights_the_tables_keep_their_two_bytes():
    """As vLLM keeps embeddings and head of AWQ, GPTQ and FP8 checkpoints; the table of embeddings is not read."""
    shape = shape_of(json.loads((CONFIGS / "qwen3_8b.json").read_text()))
    table = 151936 * 4096
    layers = shape.parameters - 2 * table
    assert shape.active_bytes(2 * 2 * table + 0.5 * layers) == pytest.approx(2 * table + 0.5 * layers)
    assert shape.active_bytes(2 * shape.parameters) == pytest.approx(2 * shape.active)
    assert shape.active_bytes(4 * shape.parameters) == pytest.approx(4 * shape.active)  # float32
    assert shape.active_bytes(0.1 * shape.parameters) < 0.1 * shape.parameters  # tables are quantised too


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"dtype": "bfloat16", "kv_cache_dtype": "auto"}, 2),
        ({"dtype": "float32", "kv_cache_dtype": "auto"}, 4),
        ({"dtype": "bfloat16", "kv_cache_dtype": "fp8_e4m3"}, 1),
        ({"dtype": "float32", "kv_cache_dtype": "bfloat16"}, 2),
        ({}, 2),
    ],
)
def test_a_cached_value_is_as_large_as_the_engine_says(facts, expected):
    assert kv_value_bytes(facts) == expected


def test_an_unknown_device_is_held_against_its_clocks_and_an_unknown_family_against_all_its_weights():
    assert bandwidth_of("NVIDIA Unheard Of", 1e12) == Bandwidth(1e12, "memory clock × bus width")
    assert bandwidth_of("NVIDIA Unheard Of", None) is None
    assert shape_of({"model_type": "unheard_of"}) is None
    whole = speed_of_light(
        1, weight_bytes=1e9, shape=None, context_tokens=9, kv_value_bytes=2, bandwidth=Bandwidth(1e12, "")
    )
    assert whole.limit_tok_s == 1000
