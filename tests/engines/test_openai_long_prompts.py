"""Prompts beyond a server's window: counted by its /tokenize, else cut when the server has refused them."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from scripted_server import WORDS, proper, stall, status

from pytest_llmeval.engines import EngineContext, create_engine
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.schema import (
    ModelSpec,
    Prompt,
    PromptStyle,
    Request,
    Sampling,
    Strategy,
    TruncationPolicy,
)

pytest.importorskip("openai", reason="needs the extra openai")

LIMIT_S = 60
TEXT = "".join(f"line {i} says something\n" for i in range(400))
KEPT = "def solve(x):"
TOO_LONG = "This model's maximum context length is 900 tokens. However, you requested more."
TEMPLATE_WORDS = 5


def counted(body):
    """Words; a chat has some more around them."""
    if "messages" in body:
        said = " ".join(message["content"] for message in body["messages"])
        return len(said.split()) + TEMPLATE_WORDS
    return len(body["prompt"].split())


def tokenizing(handler, seen):
    """A server of 900 words, as `vllm serve` is one of tokens."""
    if seen.path == "/tokenize":
        handler.json(200, {"count": counted(seen.body), "tokens": []})
    elif counted(seen.body) + seen.body["max_tokens"] > 900:
        status(400, TOO_LONG)(handler)
    else:
        proper(handler)


def refusing(limit_bytes):
    """A server without /tokenize that refuses what is longer."""

    def behave(handler, seen):
        if seen.path == "/tokenize":
            status(404, "Not Found")(handler)
        elif len(str(seen.body.get("prompt") or seen.body["messages"])) > limit_bytes:
            status(400, TOO_LONG)(handler)
        else:
            proper(handler)

    return behave


@pytest.fixture
def serve(server, tmp_path):
    """Loads an engine whose server behaves so; `listed` is the window that it tells."""
    made = []

    def make(behave, listed=900, concurrency=1, **fields):
        told = {} if listed is None else {"max_model_len": listed}
        server.on_models = lambda handler: handler.json(200, {"data": [{"id": "served", **told}]})
        server.otherwise = lambda handler: behave(handler, server.seen[-1])
        table = {"base_url": server.base_url, "concurrency": concurrency}
        spec = ModelSpec("m", "served", kind="openai", engine=table)
        engine = create_engine(replace(spec, **fields), EngineContext(tmp_path / "log", 60.0))
        made.append(engine)
        engine.load(lambda stage, detail: None)
        return engine

    yield make
    for engine in made:
        engine.close()


def request(style, text=f"{KEPT} {TEXT}", **fields):
    protected = ((0, len(KEPT)),)
    return Request("r", "t", Prompt(style, text, protected=protected, **fields), Sampling(max_tokens=100))


def sent(server):
    """The text of the last prompt that got an answer."""
    body = [seen.body for seen in server.seen if seen.path != "/tokenize"][-1]
    return body.get("prompt") or body["messages"][-1]["content"]


@pytest.mark.parametrize("style", PromptStyle)
def test_a_long_prompt_is_cut_by_the_servers_own_counting(serve, server, style):
    answer = serve(tokenizing).submit(request(style)).result(LIMIT_S)
    assert answer.text == "".join(WORDS)
    assert answer.cut.strategy is Strategy.HEAD_TAIL
    assert answer.cut.tokens_before == len(f"{KEPT} {TEXT}".split())
    assert 700 < answer.cut.tokens_after <= 800
    assert sent(server).startswith(KEPT)
    assert sent(server).endswith("line 399 says something\n")
    assert sum(seen.path != "/tokenize" for seen in server.seen) == 1  # nothing was sent in vain


def test_a_prompt_that_fits_for_certain_is_not_counted(serve, server):
    answer = serve(tokenizing, listed=5000).submit(request(PromptStyle.CHAT, "short")).result(LIMIT_S)
    assert answer.cut is None
    assert [seen.path for seen in server.seen] == ["/v1/chat/completions"]


def test_windows_are_asked_apart_and_answered_together(serve, server):
    engine = serve(tokenizing, truncation=TruncationPolicy(Strategy.SLIDING_WINDOW))
    answer = engine.submit(request(PromptStyle.COMPLETION)).result(LIMIT_S)
    assert len(answer.windows) == answer.windows[0].cut.windows > 1
    assert answer.prompt_tokens == 7 * len(answer.windows)


@pytest.mark.parametrize("style", PromptStyle)
@pytest.mark.parametrize("listed", [900, None], ids=["window listed", "window told in the refusal"])
def test_without_counting_a_prompt_is_sent_whole_first_and_cut_when_refused(serve, server, style, listed):
    answer = serve(refusing(2_000), listed).submit(request(style)).result(LIMIT_S)
    assert answer.text == "".join(WORDS)
    assert (answer.cut.tokens_before, answer.cut.tokens_after) == (None, None)
    assert answer.cut.kept[0][0] == 0
    asked = [seen for seen in server.seen if seen.path != "/tokenize"]
    assert len(asked) == 3  # whole, cut, and a fifth shorter
    assert sent(server).startswith(KEPT)


def test_a_prompt_is_given_up_when_the_server_goes_on_refusing(serve, server):
    error = serve(refusing(10)).submit(request(PromptStyle.COMPLETION)).exception(LIMIT_S)
    assert isinstance(error, EngineFault)
    assert "maximum context length" in str(error)
    assert len([seen for seen in server.seen if seen.path != "/tokenize"]) == 5


def test_a_strategy_that_refuses_to_cut_is_a_fault(serve):
    for behave in (tokenizing, refusing(2_000)):
        engine = serve(behave, truncation=TruncationPolicy(Strategy.ERROR))
        error = engine.submit(request(PromptStyle.COMPLETION)).exception(LIMIT_S)
        assert isinstance(error, EngineFault)
        assert "does not fit" in str(error) or "maximum context length" in str(error)


def test_a_prefill_continues_the_assistants_turn(serve, server):
    engine = serve(tokenizing, listed=None, chat_template="{{ messages }}")
    engine.submit(request(PromptStyle.CHAT, assistant_prefill="```python\n")).exception(LIMIT_S)
    (seen,) = [seen for seen in server.seen if seen.path == "/v1/chat/completions"][:1]
    assert seen.body["messages"][-1] == {"role": "assistant", "content": "```python\n"}
    assert seen.body["continue_final_message"] is True
    assert seen.body["add_generation_prompt"] is False
    assert seen.body["chat_template"] == "{{ messages }}"


def test_whether_a_server_counts_is_asked_once(serve, server):
    engine = serve(tokenizing)
    long = [replace(request(PromptStyle.COMPLETION), request_id=str(number)) for number in range(6)]
    for answer in [engine.submit(one) for one in long]:
        assert answer.result(LIMIT_S).cut
    assert sum(seen.body == {"model": "served", "prompt": "x"} for seen in server.seen) == 1


def test_a_prompt_that_nobody_wants_any_more_is_not_counted_on(serve, server):
    counting, go_on = threading.Event(), threading.Event()

    def behave(handler, seen):
        if seen.path == "/tokenize" and "unwanted" in seen.body["prompt"]:
            counting.set()
            go_on.wait(LIMIT_S)
        tokenizing(handler, seen)

    engine = serve(behave)
    unwanted = engine.submit(request(PromptStyle.COMPLETION, f"{KEPT} unwanted {TEXT}"))
    assert counting.wait(LIMIT_S)
    assert unwanted.cancel()
    go_on.set()
    assert engine.submit(request(PromptStyle.COMPLETION)).result(LIMIT_S).cut
    assert sum("unwanted" in seen.body["prompt"] for seen in server.seen) == 1


def test_closing_ends_the_threads_that_count(serve, server):
    counting = threading.Event()

    def behave(handler, seen):
        if seen.path == "/tokenize" and seen.body["prompt"] != "x":
            counting.set()
            stall(handler)
        tokenizing(handler, seen)

    engine = serve(behave)
    pending = engine.submit(request(PromptStyle.COMPLETION))
    assert counting.wait(LIMIT_S)
    engine.close()
    assert "the engine was closed" in str(pending.exception(LIMIT_S))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]


def test_a_window_that_is_refused_calls_the_others_off(serve, server):
    """Else they would keep their places among the requests that may be under way."""
    together = threading.Barrier(2)

    def behave(handler, seen):
        asked = seen.body["prompt"]
        if seen.path == "/tokenize":
            tokenizing(handler, seen)
        elif asked == "short":
            together.wait(LIMIT_S)
            proper(handler)
        elif "line 0 " in asked:
            status(400, "not this one")(handler)
        else:
            stall(handler)

    engine = serve(behave, concurrency=2, truncation=TruncationPolicy(Strategy.SLIDING_WINDOW))
    assert "not this one" in str(engine.submit(request(PromptStyle.COMPLETION)).exception(LIMIT_S))
    both = [replace(request(PromptStyle.COMPLETION, "short"), request_id=str(number)) for number in range(2)]
    for answer in [engine.submit(one) for one in both]:
        assert answer.result(LIMIT_S).text == "".join(WORDS)
