"""Prompts of 70,000 and 200,000 tokens through a real vLLM engine, with a small window and a large one."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("vllm", reason="needs the CPU environment: make setup")

from pytest_llmeval.engines import EngineContext, create_engine
from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.prompting.styles import build_prompt
from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry
from pytest_llmeval.schema import Padding, Request, Sampling, Strategy

SPEC = load_registry(BUILTIN_REGISTRY)["tiny_coder"]
PROBLEM = load_problem_set("humaneval").problems[0]
MAX_TOKENS = 16
LIMIT_S = 280
FEW_LINES = 10


def request(tokens: int) -> Request:
    buried = replace(PROBLEM, padding=Padding(tokens, "tail"))
    return Request(f"long:{tokens}", "long", build_prompt(buried, SPEC), Sampling(max_tokens=MAX_TOKENS))


# One length for the large window: without a GPU its prefill takes most of a minute.
@pytest.mark.parametrize(("window", "lengths"), [(2_048, (70_000, 200_000)), (32_768, (200_000,))])
def test_long_prompts_are_handled_and_recorded_without_a_storm_of_warnings(tmp_path, window, lengths):
    spec = replace(SPEC, engine={**SPEC.engine, "max_model_len": window})
    log = tmp_path / "engine.log"
    engine = create_engine(spec, EngineContext(log, 300.0))
    try:
        engine.load(lambda stage, detail: None)
        lines = log.read_text().count("\n")
        futures = {tokens: engine.submit(request(tokens)) for tokens in lengths}
        for tokens, future in futures.items():
            answer = future.result(LIMIT_S)
            assert answer.cut.strategy is Strategy.HEAD_TAIL
            assert answer.cut.tokens_before > tokens
            assert len(answer.cut.kept) == 2
            assert window - MAX_TOKENS - 100 < answer.prompt_tokens <= window - MAX_TOKENS
            assert 0 < answer.completion_tokens <= MAX_TOKENS
            assert answer.timing.e2e_s > 0
    finally:
        engine.close()
    assert "longer than" not in log.read_text()
    assert log.read_text().count("\n") - lines < FEW_LINES
