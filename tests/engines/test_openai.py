"""The OpenAI engine against a server of our own that drops, refuses, stalls and talks nonsense."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from dataclasses import replace
from itertools import count

import pytest
from scripted_server import (
    WORDS,
    drop,
    drop_midway,
    events,
    no_stream,
    piece,
    proper,
    stall,
    status,
    stream,
)

from pytest_llmeval.engines import EngineContext, create_engine
from pytest_llmeval.engines.api import failures
from pytest_llmeval.engines.openai import OpenAIEngine
from pytest_llmeval.errors import ConfigurationError, EngineFault, MissingExtraError
from pytest_llmeval.schema import ModelSpec, Prompt, PromptStyle, Request, Sampling

pytest.importorskip("openai", reason="needs the extra openai")

TEXT = "".join(WORDS)
LIMIT_S = 30
SECRET = "sk-abc123secret"


def request(text: str = "def f():", style: PromptStyle = PromptStyle.COMPLETION, **sampling) -> Request:
    return Request(f"id of {text!r}", "task", Prompt(style, text), Sampling(**{"max_tokens": 9, **sampling}))


def chat_request(system: str | None = None, **template) -> Request:
    prompt = Prompt(PromptStyle.CHAT, "write f", system, template)
    return replace(request(), prompt=prompt)


def nothing(stage: str, detail: str) -> None:
    """A progress that nobody watches."""


class Waits(list[float]):
    """A sleep that notes how long and does not."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def waits():
    return Waits()


@pytest.fixture
def log_path(tmp_path):
    return tmp_path / "engine.log"


@pytest.fixture
def make(server, log_path, waits):
    """Makes engines for the scripted server that wait for nothing and draw nothing, and closes them."""
    made: list[OpenAIEngine] = []

    def make_one(model: str = "served", load: bool = True, clock=None, **table) -> OpenAIEngine:
        spec = ModelSpec("m", model, kind="openai", engine={"base_url": server.base_url, **table})
        injected = {"clock": clock} if clock else {}
        made.append(
            OpenAIEngine(spec, EngineContext(log_path, 60.0), sleep=waits, draw=lambda: 0.0, **injected)
        )
        if load:
            made[-1].load(nothing)
        return made[-1]

    yield make_one
    for one in made:
        one.close()


def answer(engine: OpenAIEngine, asked: Request | None = None):
    return engine.submit(asked or request()).result(LIMIT_S)


def fault(engine: OpenAIEngine, asked: Request | None = None) -> str:
    error = engine.submit(asked or request()).exception(LIMIT_S)
    assert isinstance(error, EngineFault)
    return str(error)


def not_packed(handler) -> None:
    handler.send_response(200)
    handler.send_header("content-encoding", "gzip")
    handler.send_header("content-length", "3")
    handler.end_headers()
    handler.wfile.write(b"abc")


# ----------------------------------------------------------------------------------------------- what is sent


def test_a_completion_sends_the_text_as_it_is(make, server):
    answer(make(), request(temperature=0.7, top_p=0.9, seed=5, stop=("\nclass",)))
    [seen] = server.seen
    assert seen.path == "/v1/completions"
    assert seen.body == {
        "model": "served",
        "prompt": "def f():",
        "max_tokens": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 5,
        "stop": ["\nclass"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_chat_sends_messages_and_the_templates_arguments(make, server):
    answer(make(), chat_request("be brief", enable_thinking=False))
    [seen] = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "write f"},
    ]
    assert seen.body["chat_template_kwargs"] == {"enable_thinking": False}


def test_what_openai_does_not_know_is_sent_only_where_it_says_something(make, server):
    engine = make(extra_body={"ignore_eos": True, "nested": {"a": [1]}})
    answer(engine)
    answer(engine, request(top_k=20, min_p=0.1))
    plain, special = (seen.body for seen in server.seen)
    assert not {"top_k", "min_p", "chat_template_kwargs", "seed", "stop"} & set(plain)
    assert (special["top_k"], special["min_p"]) == (20, 0.1)
    assert (plain["ignore_eos"], plain["nested"]) == (True, {"a": [1]})


def test_the_key_goes_from_its_variable_into_the_header(make, server, monkeypatch):
    monkeypatch.setenv("TEAM_KEY", SECRET)
    answer(make(api_key_env="TEAM_KEY"))
    assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"


# -------------------------------------------------------------------------------------------- what comes back


def test_an_answer_is_put_together(make):
    completion = answer(make())
    assert (completion.text, completion.finish_reason) == (TEXT, "stop")
    assert (completion.prompt_tokens, completion.completion_tokens, completion.cached_tokens) == (7, 3, None)


def test_times_run_from_sending_to_tokens(make):
    """The clock ticks once a reading: sending, three words, the end, the usage."""
    timing = answer(make(clock=count().__next__)).timing
    assert (timing.ttft_s, timing.decode_s, timing.e2e_s, timing.concurrency) == (1, 3, 4, 1)


def test_the_announcement_of_a_speaker_is_no_token(make):
    timing = answer(make(clock=count().__next__), chat_request()).timing
    assert (timing.ttft_s, timing.decode_s, timing.e2e_s) == (2, 3, 5)


@pytest.mark.parametrize(
    "usage",
    [
        *(None, {}, {"prompt_tokens": 0, "completion_tokens": 0}),
        *("none", {"prompt_tokens": -7, "completion_tokens": 2.5, "prompt_tokens_details": "none"}),
    ],
    ids=str,
)
def test_what_the_server_did_not_count_is_unknown(make, server, usage):
    server.script = [stream(usage=usage)]
    completion = answer(make())
    assert (completion.text, completion.prompt_tokens, completion.completion_tokens) == (TEXT, None, None)


def test_of_several_answers_the_first_is_the_one(make, server):
    """An entry's extra_body may ask for more than one, and their pieces come as they are drawn."""

    def behave(handler):
        handler.start_stream()
        for index, word in ((0, "one "), (1, "uno "), (0, "two"), (1, "due")):
            [choice] = piece(handler, word)["choices"]
            handler.event({"choices": [{**choice, "index": index}]})
        for index, finish in ((1, "length"), (0, "stop")):
            [choice] = piece(handler, "", finish)["choices"]
            handler.event({"choices": [{**choice, "index": index}]})
        handler.end_stream()

    server.script = [behave]
    completion = answer(make())
    assert (completion.text, completion.finish_reason) == ("one two", "stop")


def test_the_last_line_of_a_body_needs_no_end(make, server):
    def behave(handler):
        handler.start_stream()
        handler.event(piece(handler, "hi"))
        handler.part(f"data: {json.dumps(piece(handler, '', 'stop'))}".encode())
        handler.end_stream()

    server.script = [behave]
    assert answer(make()).text == "hi"


def test_cached_tokens_are_told_where_the_server_tells_them(make, server):
    server.script = [stream(usage={"prompt_tokens": 200, "prompt_tokens_details": {"cached_tokens": 128}})]
    assert answer(make()).cached_tokens == 128


def test_an_empty_answer_is_an_answer(make, server):
    server.script = [stream(words=[], usage={"prompt_tokens": 7, "completion_tokens": 0})]
    completion = answer(make())
    assert (completion.text, completion.completion_tokens) == ("", 0)


def test_characters_that_end_lines_elsewhere_are_part_of_an_answer(make, server):
    odd = "a\u2028b\x85c\x1cd\re\nf"
    server.script = [stream(words=[odd])]
    assert answer(make()).text == odd


def test_stop_strings_beyond_the_four_that_servers_take_are_cut_here(make, server):
    """The stop string lies across two pieces; the server would talk on for ever."""

    def behave(handler):
        stream(words=["one t", "wo th", "ree"], finish=None)(handler)

    server.script = [behave]
    completion = answer(make(), request(stop=("a", "b", "c", "d", "never", "two")))
    assert server.seen[0].body["stop"] == ["a", "b", "c", "d"]
    assert (completion.text, completion.finish_reason) == ("one ", "stop")
    assert completion.completion_tokens is None
    assert "continuous_usage_stats" not in server.seen[0].body["stream_options"], "not every server knows it"


def test_vllm_counts_along_where_we_may_hang_up(make, server):
    """The count comes with the last event, which we do not wait for; vLLM has it in every event if it is asked."""
    server.on_models = lambda handler: handler.json(200, {"data": [{"id": "served", "owned_by": "vllm"}]})

    def behave(handler):
        handler.start_stream()
        for number, word in enumerate(["one t", "wo th", "ree"], 1):
            handler.event(
                {**piece(handler, word), "usage": {"prompt_tokens": 7, "completion_tokens": number}}
            )

    server.script = [behave]
    engine = make()
    completion = answer(engine, request(stop=("a", "b", "c", "d", "never", "two")))
    assert (completion.text, completion.completion_tokens) == ("one ", 2)
    answer(engine, request(stop=("a",)))
    options = [seen.body["stream_options"] for seen in server.seen]
    assert options == [{"include_usage": True, "continuous_usage_stats": True}, {"include_usage": True}]


def test_what_vllm_has_cached_is_passed_by_where_the_cache_is_to_be_empty(make, server):
    """The single-stream requests repeat prompts of the batch: from a cache their first token would come too soon."""
    server.on_models = lambda handler: handler.json(200, {"data": [{"id": "served", "owned_by": "vllm"}]})
    engine = make()
    for _ in range(2):
        answer(engine)
        engine.reset_cache()
    answer(engine)
    answer(engine)
    first, second, third, fourth = (seen.body.get("cache_salt") for seen in server.seen)
    assert first is None
    assert second != third == fourth


def test_a_server_that_is_not_vllm_is_told_of_no_salt(make, server):
    engine = make()
    engine.reset_cache()
    answer(engine)
    assert "cache_salt" not in server.seen[0].body


def test_comments_and_unknown_fields_of_a_stream_are_passed_over(make, server):
    def behave(handler):
        handler.start_stream()
        handler.part(b": keep alive\n\nevent: message\n")
        handler.event({**piece(handler, "hi", "length"), "novelty": [1]})
        handler.end_stream()

    server.script = [behave]
    completion = answer(make())
    assert (completion.text, completion.finish_reason) == ("hi", "length")


# ---------------------------------------------------------------------------------------- what is tried again


@pytest.mark.parametrize(
    "mishap",
    [
        pytest.param(drop, id="hangs up"),
        pytest.param(drop_midway, id="hangs up in the middle"),
        pytest.param(status(429), id="429"),
        pytest.param(status(500), id="500"),
        pytest.param(status(503), id="503"),
        pytest.param(events(), id="says nothing"),
        pytest.param(not_packed, id="packed wrongly"),
        pytest.param(stream(finish=None), id="never finishes"),
        pytest.param(stream(finish="abort"), id="aborts"),
        pytest.param(events('{"choices": [{'), id="half an event"),
        pytest.param(events("<html>"), id="no JSON"),
        pytest.param(events([1, 2]), id="a list"),
        pytest.param(events({"choices": "none"}), id="wrong types"),
        pytest.param(events({"error": {"message": "engine died", "code": 500}}), id="an error in the stream"),
        pytest.param(events({"error": "engine died"}), id="an error in words"),
        pytest.param(no_stream, id="no stream"),
        pytest.param(events({"choices": None}), id="no choices"),
    ],
)
def test_a_mishap_is_tried_again(make, server, waits, log_path, mishap):
    server.script = [mishap]
    assert answer(make()).text == TEXT
    assert len(server.seen) == 2
    assert waits == [failures.FIRST_WAIT_S / 2]
    assert "again in 0.2 s" in log_path.read_text()


def test_waits_grow_and_are_bounded(make, server, waits):
    server.script = [status(500)] * 9
    answer(make(max_retries=9))
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]


def test_a_server_that_says_when_is_obeyed(make, server, waits):
    server.script = [status(429, retry_after="7"), status(503, retry_after="11")]
    answer(make())
    assert waits == [7, 11]


def test_a_gateway_that_always_asks_for_no_wait_is_not_asked_in_a_rush(make, server, waits):
    server.script = [status(429, retry_after="0")] * 3
    answer(make())
    assert waits == [failures.wait_s(number, None, 0.0) for number in range(3)]


def test_a_server_that_asks_to_come_back_tomorrow_is_a_fault(make, server, waits):
    server.script = [status(429, "quota", retry_after="86400")]
    assert "asks to wait 86400 s" in fault(make())
    assert waits == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:50 GMT"}, 9),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_both_of_its_forms(headers, seconds):
    assert failures.retry_after_s(headers) == seconds


def test_waits_are_spread():
    assert failures.wait_s(0, None, 0.0) < failures.wait_s(0, None, 0.9) < failures.wait_s(1, None, 0.9)
    assert 10 == failures.wait_s(3, 10, 0.0) < failures.wait_s(3, 10, 0.9) < 13


# ---------------------------------------------------------------------------------------------- what is final


def test_an_error_for_ever_fails_its_own_request_only(make, server):
    def behave(handler):
        bad = "bad" in server.seen[-1].body["prompt"]
        (status(500, "CUDA\nerror") if bad else proper)(handler)

    server.otherwise = behave
    engine = make(max_retries=2, concurrency=1)
    bad, good = engine.submit(request("bad")), engine.submit(request("good"))
    assert str(bad.exception(LIMIT_S)) == (
        f"POST {server.base_url}/completions for id of 'bad': 500: CUDA error (tried 3 times); "
        f"{failures.SEE_THE_SERVER}"
    )
    assert good.result(LIMIT_S).text == TEXT


@pytest.mark.parametrize(
    ("code", "advice"), [(400, "sampling"), (401, "api_key_env"), (403, "api_key_env"), (404, "base_url")]
)
def test_a_refusal_is_final_and_says_what_to_do(make, server, code, advice):
    server.otherwise = status(code, "not like this")
    message = fault(make())
    assert f"{code}: not like this" in message
    assert advice in message
    assert len(server.seen) == 1


def test_a_refusal_that_lists_fields_is_told(make, server):
    """As FastAPI words it, which many servers are built with."""
    details = [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]
    server.otherwise = lambda handler: handler.json(422, {"detail": details})
    assert '"top_k"], "msg": "Extra inputs are not permitted"' in fault(make())


def test_a_refusal_inside_the_stream_is_final(make, server):
    server.otherwise = events({"error": {"message": "too long", "code": 400}})
    assert "400: too long" in fault(make())
    assert len(server.seen) == 1


def test_a_stall_ends_at_the_time_limit(make, server):
    server.otherwise = stall
    message = fault(make(request_timeout_s=0.3, max_retries=1))
    assert "no whole answer in time (tried 2 times); raise engine.request_timeout_s" in message


def test_a_page_instead_of_an_error_is_cut(make, server):
    server.otherwise = lambda handler: handler.whole(400, b"<html>" + b"x" * 9000, "text/html")
    assert len(fault(make())) < 1000


def test_a_page_in_the_stream_is_cut(make, server):
    server.otherwise = events({"error": {"message": "x" * 9000, "code": 400}})
    assert len(fault(make())) < 1000


def test_half_a_surrogate_pair_fails_its_own_request(make):
    engine = make()
    assert "UTF-8" in fault(engine, request("\ud800"))
    assert answer(engine).text == TEXT


def test_an_extra_body_that_is_no_json_is_named(make, server):
    assert "correct engine.extra_body" in fault(make(extra_body={"a": object()}))
    assert server.seen == []


# ---------------------------------------------------------------------------------------------------- loading


def test_loading_finds_the_model(make, server):
    server.on_models = lambda handler: handler.json(200, {"data": [{"id": "served", "max_model_len": 512}]})
    info = make(load=False).load(nothing)
    assert info.facts == {
        "engine": "openai",
        "base_url": server.base_url,
        "served": "served",
        "max_model_len": 512,
    }


@pytest.mark.parametrize("window", ["4096", -1, 0, [1], 2.5, 1e400, True, None], ids=repr)
def test_a_window_that_is_no_number_of_tokens_is_not_known(make, server, window):
    listed = {"id": "served", "max_model_len": window, "root": [1], "owned_by": float("nan")}
    server.on_models = lambda handler: handler.json(200, {"data": [listed]})
    engine = make(load=False)
    assert set(engine.load(nothing).facts) == {"engine", "base_url", "served"}
    assert answer(engine, request("x" * 5000)).text == TEXT


def test_a_model_that_is_not_served_is_named_with_those_that_are(make, server):
    with pytest.raises(
        EngineFault, match=r"does not serve 'sevred'; did you mean 'served'\?; it serves: served"
    ):
        make("sevred")


@pytest.mark.parametrize(
    ("behave", "told"),
    [
        (status(404, "Not Found"), "404: Not Found; check engine.base_url"),
        (status(503, "loading"), "503: loading"),
        (lambda handler: handler.whole(200, b"<html>hi", "text/html"), "no list of models, but '<html>hi'"),
        (drop, "the connection failed"),
    ],
)
def test_a_server_that_lists_nothing_is_a_fault_at_once(make, server, waits, behave, told):
    server.on_models = behave
    with pytest.raises(EngineFault) as error:
        make()
    assert told in str(error.value)
    assert waits == []


def test_a_server_that_lists_nothing_in_time_is_a_fault(make, server, log_path):
    server.on_models = lambda handler: server.released.wait()
    spec = ModelSpec("m", "served", kind="openai", engine={"base_url": server.base_url})
    engine = OpenAIEngine(spec, EngineContext(log_path, load_timeout_s=0.3))
    with pytest.raises(EngineFault, match=r"models: no answer within 0\.3 s; see whether the server runs"):
        engine.load(nothing)
    engine.close()


def test_nobody_at_the_address_is_a_fault_at_once(make, server):
    address = server.base_url
    server.server_close()
    with pytest.raises(EngineFault, match=f"GET {address}/models: the connection failed"):
        make()


def test_a_key_that_is_not_set_is_a_fault(make, monkeypatch):
    monkeypatch.delenv("TEAM_KEY", raising=False)
    with pytest.raises(EngineFault, match="environment variable TEAM_KEY, named by"):
        make(api_key_env="TEAM_KEY")


def test_a_key_from_a_file_with_a_line_break_at_its_end_is_the_key(make, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\n")
    answer(make())
    assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("broken", ["kéy-of-the-team", "key-of\n-the-team", "key-of\x1b-the-team"])
def test_a_key_that_no_header_can_carry_is_named_by_its_variable_alone(make, monkeypatch, log_path, broken):
    monkeypatch.setenv("TEAM_KEY", broken)
    with pytest.raises(EngineFault, match="the environment variable TEAM_KEY holds no key") as error:
        make(api_key_env="TEAM_KEY")
    assert "-the-team" not in str(error.value) + log_path.read_text()


def test_the_key_is_told_to_nobody(make, server, monkeypatch, log_path, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    caplog.set_level("DEBUG")
    engine = make()
    server.otherwise = status(401, f"Incorrect API key provided: {SECRET}")
    error = engine.submit(request()).exception(LIMIT_S)
    assert "401: Incorrect API key provided: ***" in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
    for text in (str(error), log_path.read_text(), caplog.text, repr(vars(engine))):
        assert SECRET not in text


@pytest.mark.parametrize("before", [386, 390, 394])
def test_a_key_at_the_place_where_a_long_message_is_cut_is_told_to_nobody(
    make, server, monkeypatch, log_path, before
):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server.otherwise = status(401, f"{'.' * before}{SECRET}")
    message = fault(make())
    assert SECRET[:6] not in message + log_path.read_text()


# --------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"base_urll": "http://x"}, "engine.base_urll: unknown key; did you mean 'base_url'?"),
        ({"api_key": SECRET}, "engine.api_key: unknown key; did you mean 'api_key_env'?"),
        ({"concurrency": 0}, "engine.concurrency: "),
        ({"api_key_env": SECRET}, "engine.api_key_env: must be the name of an environment variable"),
        ({"base_url": "localhost:8000"}, "engine.base_url: must be an address"),
        ({"base_url": f"http://me:{SECRET}@host/v1"}, "engine.base_url: holds scheme, host and path only"),
        ({"base_url": f"http://host/v1?key={SECRET}"}, "engine.base_url: holds scheme, host and path only"),
    ],
)
def test_mistakes_in_the_table_are_named_without_their_values(make, table, told):
    with pytest.raises(ConfigurationError) as error:
        make(load=False, **table)
    assert told in str(error.value)
    assert SECRET not in str(error.value)


def test_an_address_is_needed(log_path):
    with pytest.raises(ConfigurationError, match=r"models.m: .*\n.*engine.base_url: is missing"):
        create_engine(ModelSpec("m", "served", kind="openai"), EngineContext(log_path, 60.0))


def test_the_package_is_imported_late():
    program = "import sys, pytest_llmeval.engines.openai; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_missing_package_names_the_extra(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pytest-llmeval-bench\[openai\]'"):
        make(load=False)


# ---------------------------------------------------------------------------------- many at once, and closing


def test_so_many_at_a_time_and_no_more(make, server):
    """Two answers wait for each other: fewer at a time would stand still, more would break the barrier."""
    together, live, most = threading.Barrier(2), [], []

    def behave(handler):
        live.append(handler)
        most.append(len(live))
        together.wait(LIMIT_S)
        live.remove(handler)
        proper(handler)

    server.otherwise = behave
    engine = make(concurrency=2)
    futures = [engine.submit(request(str(number))) for number in range(6)]
    timings = [future.result(LIMIT_S).timing for future in futures]
    assert max(most) == 2
    # Of two that are sent one after the other the first, too, has company.
    assert [timing.concurrency for timing in timings] == [2] * 6


def test_submit_does_not_wait(make, server):
    server.otherwise = stall
    engine = make(concurrency=1)
    futures = [engine.submit(request(str(number))) for number in range(50)]
    assert not any(future.done() for future in futures)


def test_closing_fails_what_is_pending_and_ends_the_thread(make, server):
    server.otherwise = stall
    engine = make(concurrency=2)
    futures = [engine.submit(request(str(number))) for number in range(5)]
    engine.close()
    assert all("the engine was closed" in str(future.exception(LIMIT_S)) for future in futures)
    assert "the engine was closed" in fault(engine)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("openai-")]


def test_an_engine_that_was_not_loaded_answers_nobody(make):
    assert "the engine was not loaded" in fault(make(load=False))


def test_a_request_that_nobody_wants_any_more_does_no_harm(make, server):
    arrived = threading.Event()

    def note_and_stall(handler):
        arrived.set()
        stall(handler)

    server.script = [note_and_stall]
    engine = make(max_retries=0)
    unwanted = engine.submit(request())
    assert arrived.wait(LIMIT_S)
    assert unwanted.cancel()
    assert answer(engine, request("wanted")).text == TEXT
    with pytest.raises(CancelledError):
        unwanted.result(LIMIT_S)
