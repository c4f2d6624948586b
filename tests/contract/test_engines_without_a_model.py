"""The contract, kept by engines that hold no model and by a server that misbehaves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import scripted_server
from scripted_server import WORDS, drop, drop_midway, events, status, stream

from pytest_llmeval.schema import ModelSpec
from pytest_llmeval.testing import EngineContract


class TestFake(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls):
        return ModelSpec("fake", "fake", kind="pytest_llmeval.testing:FakeEngine")

    @pytest.fixture(scope="class")
    @classmethod
    def broken_spec(cls, spec):
        return replace(spec, engine={"fail_load": "no such weights"})


class TestReplay(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory, requests):
        path = tmp_path_factory.mktemp("replay") / "samples.jsonl"
        rows = [
            {"task_id": request.task_id, "response": f"{i} is an answer"}
            for i, request in enumerate(requests)
        ]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return ModelSpec("replay", str(path), kind="replay")

    @pytest.fixture(scope="class")
    @classmethod
    def broken_spec(cls, spec):
        return replace(spec, model=f"{spec.model}.gone")


class TestOpenAIWithAnUnreliableServer(EngineContract):
    """Every answer costs some tries: nothing of that shows but in the log."""

    @pytest.fixture(scope="class")
    @classmethod
    def unreliable(cls):
        pytest.importorskip("openai", reason="needs the extra openai")
        moods = [
            drop,
            status(429, retry_after="0"),
            drop_midway,
            status(500),
            events("{"),
            events({"choices": 1}),
        ]
        mishaps = 0

        def behave(handler):
            nonlocal mishaps
            mishaps += 1
            mood = moods[mishaps // 2 % len(moods)] if mishaps % 2 else stream(usage=None)
            mood(handler)

        with scripted_server.running() as server:
            server.otherwise = behave
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, unreliable):
        table = {"base_url": unreliable.base_url, "max_retries": 50, "concurrency": 2}
        return ModelSpec("unreliable", "served", kind="contract_engines:Impatient", engine=table)

    @pytest.fixture(scope="class")
    @classmethod
    def broken_spec(cls, spec):
        return replace(spec, model="unserved")

    def test_the_words_are_whole(self, engine, requests):
        assert {answer.text for answer in self.answers(engine, requests)} == {"".join(WORDS)}
