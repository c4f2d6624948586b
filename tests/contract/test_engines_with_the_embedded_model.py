"""The contract, kept by every way we have to run a real model: the embedded one, on this machine's CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import ModelSpec, PromptStyle
from pytest_llmeval.testing import GenerationContract, humaneval_requests, variant

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # the model is tiny: more threads only wait for each other


class TestVLLM(GenerationContract):
    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tiny_coder):
        pytest.importorskip("vllm", reason="needs the CPU environment: make setup")
        table = {"max_model_len": 1024, "enforce_eager": True, "kv_cache_memory_bytes": 64 << 20}
        return ModelSpec("vllm", tiny_coder, kind="vllm", engine={**table, "generation_config": "vllm"})

    @pytest.fixture(scope="class")
    @classmethod
    def broken_spec(cls, spec, tmp_path_factory):
        return replace(spec, model=str(tmp_path_factory.mktemp("no-weights")))

    def test_a_refused_request_is_nobodys_company(self, engine, requests):
        refused = variant(requests[0], 0, stop=("",))
        assert isinstance(engine.submit(refused).exception(self.answer_timeout_s), EngineFault)
        assert self.answers(engine, requests[:1])[0].timing.concurrency == 1


class TestTransformers(GenerationContract):
    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tiny_coder):
        pytest.importorskip("transformers", reason="needs the extra transformers")
        # float32: in bfloat16 the company in a batch may round an answer into another.
        table = {"batch_size": 3, "max_model_len": 1024, "dtype": "float32"}
        return ModelSpec("hf", tiny_coder, kind="transformers", engine=table, environment=ONE_THREAD)

    @pytest.fixture(scope="class")
    @classmethod
    def broken_spec(cls, spec, tmp_path_factory):
        return replace(spec, model=str(tmp_path_factory.mktemp("no-weights")))

    def test_an_answer_is_drawn_with_its_own_seed_in_any_company(self, engine, requests):
        drawn = [variant(one, 0, seed=seed, temperature=1.0) for seed, one in enumerate(requests)]
        together = self.answers(engine, drawn)
        alone = [self.answers(engine, [one])[0] for one in reversed(drawn)]
        assert [answer.text for answer in together] == [answer.text for answer in reversed(alone)]

    def test_a_batch_says_when_answers_came_and_not_when_tokens_did(self, engine, requests):
        timings = [answer.timing for answer in self.answers(engine, requests)]
        assert all(timing.e2e_s > 0 and timing.ttft_s is None for timing in timings)
        assert max(timing.concurrency for timing in timings) <= 3


class TestOpenAI(GenerationContract):
    """Against a real `vllm serve`, /completions."""

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, vllm_server, served_model):
        pytest.importorskip("openai", reason="needs the extra openai")
        return ModelSpec("served", served_model, kind="openai", engine={"base_url": vllm_server})

    @pytest.fixture(scope="class")
    @classmethod
    def broken_spec(cls, spec):
        return replace(spec, model="unserved")

    def test_times_and_counts_are_measured_at_the_client(self, engine, requests):
        for answer in self.answers(engine, requests):
            assert 0 < answer.timing.ttft_s <= answer.timing.e2e_s
            assert answer.timing.decode_s > 0
            assert (answer.prompt_tokens, answer.completion_tokens) > (0, 0)

    def test_more_stop_strings_than_the_server_takes(self, engine, requests):
        whole = self.answers(engine, requests[:1])[0].text
        stop = ("@1", "@2", "@3", "@4", whole[5:8], "@6")
        cut = self.answers(engine, [variant(requests[0], 2, stop=stop)])[0]
        assert (cut.text, cut.finish_reason) == (whole[: whole.find(stop[4])], "stop")
        assert cut.completion_tokens > 0  # vLLM counts along, so it need not be heard out

    def test_a_prompt_beyond_the_window_is_cut_by_the_servers_own_counting(self, engine, requests):
        text = requests[0].prompt.text
        prompt = replace(requests[0].prompt, text=f"# {'many words ' * 4000}\n{text}")
        answer = self.answers(engine, [replace(requests[0], request_id="long", prompt=prompt)])[0]
        assert answer.cut.tokens_before > 4000
        assert 900 < answer.prompt_tokens <= 1000  # of 1024, 24 are for the answer

    def test_a_request_that_the_server_refuses_harms_no_other(self, engine, requests):
        too_long = variant(requests[0], 0, max_tokens=5000)
        assert "max_model_len" in str(engine.submit(too_long).exception(60))
        assert self.answers(engine, requests[:1])


class TestOpenAIChat(TestOpenAI):
    """The same server through /chat/completions, with a system prompt."""

    @pytest.fixture(scope="class")
    @classmethod
    def requests(cls):
        asked = humaneval_requests(PromptStyle.CHAT)
        return [replace(one, prompt=replace(one.prompt, system="You are a programmer.")) for one in asked]
