"""vLLM's AsyncLLM driver, which drives engines on GPUs, tried on the CPU: its core runs in processes of its own."""

from __future__ import annotations

import signal
from dataclasses import replace

import psutil
import pytest

pytest.importorskip("vllm", reason="needs the CPU environment: make setup")

from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.engines.vllm import ASYNC_DRIVER, host_environment
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry
from pytest_llmeval.schema import Prompt, PromptStyle, Request, Strategy, TruncationPolicy

SPEC = replace(
    load_registry(BUILTIN_REGISTRY)["tiny_coder"], truncation=TruncationPolicy(Strategy.SLIDING_WINDOW)
)
PROBLEMS = load_problem_set("humaneval").problems
LONG = "x y z " * 1700
ENDLESS = (56, 73, 88)  # by the model's lessons.json


def request(number: int, text: str | None = None, kind: str = "first") -> Request:
    problem = PROBLEMS[number]
    prompt = Prompt(PromptStyle.COMPLETION, problem.prompt if text is None else text)
    return Request(f"{kind}:{number}", problem.task_id, prompt, SPEC.sampling)


def endless(number: int) -> Request:
    """A request whose answer takes seconds: the model was taught never to stop here."""
    doomed = request(number, kind="doomed")
    return replace(doomed, sampling=replace(doomed.sampling, max_tokens=1500, stop=()))


def uncut(long: Request) -> Request:
    """The same where nothing of the text may be cut."""
    return replace(long, prompt=replace(long.prompt, protected=((0, len(long.prompt.text)),)))


def test_it_answers_refuses_and_outlives_the_death_of_its_core(tmp_path):
    """One engine for all, because loading takes half a minute, and twice as long here: its core is killed."""
    context = EngineContext(tmp_path / "engine.log", 300)
    engine = HostedEngine(
        SPEC, context, driver=ASYNC_DRIVER, environment=host_environment(SPEC, ASYNC_DRIVER)
    )
    try:
        info = engine.load(lambda stage, detail: None)
        assert info.facts["attention"] == ["CPU_ATTN"]
        assert info.memory.weights_bytes > 0
        assert info.memory.kv_pool_tokens > 0
        answers = [future.result(120) for future in [engine.submit(request(n)) for n in range(8)]]
        assert all(answer.completion_tokens > 0 for answer in answers)
        assert all(0 < answer.timing.ttft_s < answer.timing.e2e_s for answer in answers)
        assert all(2 <= answer.timing.concurrency <= 8 for answer in answers), "the first had company, too"
        assert 0 < engine.status.kv_peak_share < 1

        long = engine.submit(request(0, LONG, "long")).result(120)
        assert long.cut.tokens_before == 5101
        assert len(long.windows) == long.cut.windows == 4
        assert long.completion_tokens == sum(window.completion_tokens for window in long.windows)
        assert long.timing.concurrency == 4, (
            "each window is a request of its own to vLLM, as in the other driver"
        )
        with pytest.raises(EngineFault, match=r"prompt too long: .*needs 5101 tokens"):
            engine.submit(uncut(request(0, LONG, "refused"))).result(60)
        engine.reset_cache()
        again = engine.submit(replace(request(0, kind="again"), token_times=True)).result(60)
        assert again.text == answers[0].text
        assert again.cached_tokens == 0
        assert len(again.timing.token_s) == again.completion_tokens

        running = psutil.Process(engine.pid).children(recursive=True)
        dropped, *pending = [engine.submit(endless(n)) for n in ENDLESS]
        assert dropped.cancel()
        next(p for p in running if "EngineCore" in p.name()).send_signal(signal.SIGKILL)
        for answer in [future.result(300) for future in pending]:
            assert answer.finish_reason == "length"
            assert answer.timing.disturbed
        assert "EngineDeadError" in engine.status.notes[0]
        assert engine.submit(request(0, kind="after")).result(60).text == answers[0].text
    finally:
        engine.close()
    assert not [p for p in running if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
