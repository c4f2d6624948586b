"""Contract tests: what every engine must do, written once, for ours and for those of others."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, EngineStatus, create_engine
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.schema import Completion, ModelSpec, Prompt, PromptStyle, Request, Sampling

EngineMaker = Callable[[ModelSpec], Engine]


class EngineContract:
    """What every engine must do. Subclass it in a test module and override `spec`, at least.

        class TestMyEngine(EngineContract):
            @pytest.fixture(scope="class")
            @classmethod
            def spec(cls):
                return ModelSpec("mine", "weights", kind="my_package:MyEngine")

            @pytest.fixture(scope="class")
            @classmethod
            def broken_spec(cls, spec):
                return replace(spec, model="/nowhere")

    Fixtures have class scope, because one loaded engine serves all tests but those that close it. Engines
    that generate subclass `GenerationContract`, which adds what sampling parameters promise.
    """

    def __init_subclass__(cls) -> None:
        """The test that closes the shared engine comes last: none after it has to load another."""
        for name in ("test_close_leaves_nobody_waiting",):
            setattr(cls, name, getattr(cls, name))

    answer_timeout_s: ClassVar[float] = 120.0
    load_timeout_s: ClassVar[float] = 300.0

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls) -> ModelSpec:
        """The model to load."""
        raise NotImplementedError("override the fixture `spec` with a ModelSpec of your engine")

    @pytest.fixture(scope="class")
    @classmethod
    def broken_spec(cls) -> ModelSpec:
        """A model that cannot load, for example because its weights are missing."""
        raise NotImplementedError("override the fixture `broken_spec` with a ModelSpec that cannot load")

    @pytest.fixture(scope="class")
    @classmethod
    def requests(cls) -> Sequence[Request]:
        """What is asked, all at once: requests with different ids, for different tasks."""
        return humaneval_requests(PromptStyle.COMPLETION)

    @pytest.fixture(scope="class")
    @classmethod
    def make_engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineMaker]:
        """Constructs engines, and closes them after the class."""
        made: list[Engine] = []

        def make(spec: ModelSpec) -> Engine:
            log_path = tmp_path_factory.mktemp("engine") / "engine.log"
            made.append(create_engine(spec, EngineContext(log_path, cls.load_timeout_s)))
            return made[-1]

        yield make
        for engine in made:
            engine.close()

    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls, make_engine: EngineMaker, spec: ModelSpec) -> LoadedEngine:
        return LoadedEngine(lambda: make_engine(spec))

    @pytest.fixture
    def engine(self, loaded: LoadedEngine) -> Engine:
        """A loaded engine that tests share, and therefore leave as it is."""
        return loaded.get()

    def answers(self, engine: Engine, requests: Sequence[Request]) -> list[Completion]:
        """The answers to all requests, asked together."""
        futures = [engine.submit(request) for request in requests]
        return [future.result(self.answer_timeout_s) for future in futures]

    def test_every_request_is_answered_once(self, engine: Engine, requests: Sequence[Request]) -> None:
        calls: queue.SimpleQueue[Future[Completion]] = queue.SimpleQueue()
        futures = [engine.submit(request) for request in requests]
        for future in futures:
            future.add_done_callback(calls.put)
        answered = [calls.get(timeout=self.answer_timeout_s) for _ in requests]
        assert {id(future) for future in answered} == {id(future) for future in futures}
        assert all(isinstance(future.result().text, str) for future in answered)
        assert calls.empty()

    def test_an_answer_does_not_depend_on_the_order_of_asking(
        self, engine: Engine, requests: Sequence[Request]
    ) -> None:
        """Answers go to the request that asked, not to the one that waited longest."""
        alone = [self.answers(engine, [request])[0].text for request in requests]
        swapped = [answer.text for answer in reversed(self.answers(engine, list(reversed(requests))))]
        for text, expected in zip(swapped, alone, strict=True):
            # Not equality: in a batch, rounding may change an answer from some token on.
            assert in_common(text, expected) == max(in_common(text, other) for other in alone)

    def test_samples_are_requests_of_their_own(self, engine: Engine, requests: Sequence[Request]) -> None:
        samples = [variant(requests[0], index, seed=1000 + index) for index in range(2)]
        assert len(self.answers(engine, samples)) == 2

    def test_an_emptied_cache_changes_no_answer(self, engine: Engine, requests: Sequence[Request]) -> None:
        before = self.answers(engine, requests[:1])[0].text
        engine.reset_cache()
        assert self.answers(engine, requests[:1])[0].text == before
        assert not engine.is_preparing

    def test_token_counts_are_counted_or_none(self, engine: Engine, requests: Sequence[Request]) -> None:
        for answer in self.answers(engine, requests):
            assert answer.prompt_tokens is None or answer.prompt_tokens > 0, "unknown is None, never 0"
            if answer.text:
                assert answer.completion_tokens is None or answer.completion_tokens > 0, "unknown is None"

    def test_times_are_measured_or_none(self, engine: Engine, requests: Sequence[Request]) -> None:
        timings = [answer.timing for answer in self.answers(engine, requests)]
        for timing in filter(None, timings):
            assert timing.concurrency >= 1
            measured = (timing.queue_s, timing.ttft_s, timing.decode_s, timing.e2e_s)
            assert all(seconds is None or seconds >= 0 for seconds in measured)
            if timing.ttft_s is not None and timing.e2e_s is not None:
                assert timing.ttft_s <= timing.e2e_s

    def test_submit_works_where_answers_arrive(self, engine: Engine, requests: Sequence[Request]) -> None:
        """An engine whose `submit` waits for its own answering thread would stand still here."""
        asked_again: Future[Future[Completion]] = Future()

        def ask_again(_: Future[Completion]) -> None:
            asked_again.set_result(engine.submit(variant(requests[1], 1)))

        engine.submit(requests[0]).add_done_callback(ask_again)
        again = asked_again.result(self.answer_timeout_s).result(self.answer_timeout_s)
        assert isinstance(again.text, str)

    def test_a_cancelled_request_harms_no_other(self, engine: Engine, requests: Sequence[Request]) -> None:
        futures = [engine.submit(longer(request)) for request in requests]
        for cancelled in futures[::2]:
            cancelled.cancel()  # or not: an answer may be quicker
        for future in futures[1::2]:
            assert isinstance(future.result(self.answer_timeout_s).text, str)
        assert all(future.cancelled() or future.result(0) for future in futures)
        assert isinstance(self.answers(engine, requests[:1])[0].text, str)

    @pytest.mark.parametrize("text", ["\ud800 lone", "a\x00b", ""], ids=["surrogate", "nul", "empty"])
    def test_odd_prompts_do_no_harm(self, engine: Engine, requests: Sequence[Request], text: str) -> None:
        odd = replace(requests[0], request_id=f"odd {text!r}", prompt=completion_prompt(text))
        error = engine.submit(odd).exception(self.answer_timeout_s)
        assert error is None or isinstance(error, EngineFault)
        assert isinstance(self.answers(engine, requests[:1])[0].text, str)

    def test_a_model_that_cannot_load_is_a_fault(
        self, make_engine: EngineMaker, broken_spec: ModelSpec
    ) -> None:
        engine = make_engine(broken_spec)
        with pytest.raises(EngineFault, match=r"\w"):
            engine.load(unwatched)
        engine.close()

    def test_close_leaves_nobody_waiting(self, loaded: LoadedEngine, requests: Sequence[Request]) -> None:
        engine = loaded.take()
        pending = [engine.submit(longer(request)) for request in requests]
        engine.close()
        engine.close()
        pending.append(engine.submit(requests[0]))
        errors = [future.exception(self.answer_timeout_s) for future in pending]
        assert all(error is None or isinstance(error, EngineFault) for error in errors)
        assert errors[-1] is not None, "a closed engine answers nobody"
        assert isinstance(engine.status, EngineStatus)


class GenerationContract(EngineContract):
    """What engines that generate must do besides: keep to the sampling parameters."""

    def test_submit_returns_before_the_answer(self, engine: Engine, requests: Sequence[Request]) -> None:
        futures = [engine.submit(longer(request)) for request in requests]
        assert not futures[-1].done()
        for future in futures:
            future.result(self.answer_timeout_s)

    def test_greedy_is_repeatable(self, engine: Engine, requests: Sequence[Request]) -> None:
        for request in requests:
            first, second = (self.answers(engine, [variant(request, index)])[0] for index in range(2))
            assert first.text == second.text

    def test_a_seed_decides_what_is_drawn(self, engine: Engine, requests: Sequence[Request]) -> None:
        def drawn(request: Request, seed: int) -> str:
            return self.answers(engine, [variant(request, seed, seed=seed, temperature=2.0)])[0].text

        assert drawn(requests[0], 1) == drawn(requests[0], 1)
        # A model may be sure of one answer at any temperature, but not of all.
        assert any(len({drawn(request, seed) for seed in range(6)}) > 1 for request in requests)

    def test_max_tokens_ends_an_answer(self, engine: Engine, requests: Sequence[Request]) -> None:
        for answer in self.answers(engine, [variant(request, 0, max_tokens=3) for request in requests]):
            assert answer.finish_reason == "length"
            assert answer.completion_tokens in (None, 3)

    def test_stop_strings_are_cut(self, engine: Engine, requests: Sequence[Request]) -> None:
        whole = self.answers(engine, requests[:1])[0].text
        stop = whole[len(whole) // 2 :][:3]
        cut = self.answers(engine, [variant(requests[0], 1, stop=("never said", stop))])[0]
        assert cut.text == whole[: whole.find(stop)]
        assert cut.finish_reason == "stop"

    def test_requests_of_exact_lengths(
        self, loaded: LoadedEngine, engine: Engine, requests: Sequence[Request]
    ) -> None:
        """Where the engine says that it makes them: prompts of given tokens, answers that run to their limit."""
        if not loaded.info.synthetic:
            pytest.skip("this engine makes no synthetic requests")
        prompt = Prompt(PromptStyle.CHAT, "17 tokens", token_ids=tuple(range(10, 27)))
        asked = variant(replace(requests[0], prompt=prompt), 0, ignore_eos=True, max_tokens=40, stop=())
        answer = self.answers(engine, [asked])[0]
        assert (answer.prompt_tokens, answer.completion_tokens) == (17, 40)
        assert answer.finish_reason == "length"

    def test_no_answer_ends_before_min_tokens(
        self, loaded: LoadedEngine, engine: Engine, requests: Sequence[Request]
    ) -> None:
        if not loaded.info.synthetic:
            pytest.skip("this engine makes no synthetic requests")
        asked = [variant(request, 0, min_tokens=60, max_tokens=60) for request in requests]
        assert {answer.completion_tokens for answer in self.answers(engine, asked)} == {60}

    def test_each_token_has_its_time_or_none_has(self, engine: Engine, requests: Sequence[Request]) -> None:
        asked = [replace(variant(request, 0), token_times=True) for request in requests]
        for answer, plain in zip(self.answers(engine, asked), self.answers(engine, requests), strict=True):
            assert in_common(answer.text, plain.text) > 0 or not plain.text
            if answer.timing is None or answer.timing.token_s is None:
                continue
            times = answer.timing.token_s
            assert len(times) == answer.completion_tokens
            assert list(times) == sorted(times)
            assert times[0] >= 0


class LoadedEngine:
    """One loaded engine for many tests: `take` it to close it, and the next `get` loads another."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engine: Engine | None = None
        self.info = EngineInfo()

    def get(self) -> Engine:
        if self._engine is None:
            self._engine = self._make()
            self.info = self._engine.load(unwatched)
        return self._engine

    def take(self) -> Engine:
        engine, self._engine = self.get(), None
        return engine


def in_common(one: str, other: str) -> int:
    """How many characters two texts share from their beginning."""
    differing = (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def unwatched(stage: str, detail: str) -> None:
    """A progress that nobody watches."""


def humaneval_requests(style: PromptStyle, count: int = 4) -> list[Request]:
    """Requests for HumanEval's first problems, greedy, for short answers."""
    return [
        Request(f"{task.task_id}:0", task.task_id, Prompt(style, task.prompt), Sampling(max_tokens=24))
        for task in load_problem_set("humaneval").problems[:count]
    ]


def completion_prompt(text: str) -> Prompt:
    return Prompt(PromptStyle.COMPLETION, text)


def variant(request: Request, index: int, **sampling: Any) -> Request:
    """The same question as another sample, with other sampling parameters."""
    request_id = f"{request.request_id}, {index} {sampling}"
    changed = replace(request.sampling, **sampling)
    return replace(request, request_id=request_id, sampling=changed)


def longer(request: Request) -> Request:
    """The same question with room for an answer that takes a while."""
    return variant(request, 0, max_tokens=4 * request.sampling.max_tokens)
