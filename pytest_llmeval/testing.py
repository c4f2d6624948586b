"""Fakes and contract tests for people who extend us, and for our own tests. Nothing here measures a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, Progress, create_engine
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.schema import (
    Completion,
    ModelSpec,
    Problem,
    Prompt,
    PromptStyle,
    Request,
    Sampling,
    Timing,
)

WRONG_BODY = "    return None\n"


class FakeEngine:
    """An engine without a model: it knows canonical solutions and gives as many as it is told.

    Its `engine` table: `solves` (how many problems of the set it answers rightly, in published order; default
    all), `fail_load` (a cause: it will not load), `dies_after` (it dies after so many answers). Use it as
    `kind = "pytest_llmeval.testing:FakeEngine"`. `close()` releases nothing, because it holds nothing.
    """

    loads: ClassVar[list[str]] = []  # names of loaded models, in order; tests clear it

    def __init__(self, spec: ModelSpec, context: EngineContext) -> None:
        self.spec = spec
        self._settings: dict[str, Any] = dict(spec.engine)
        self._problems: dict[str, tuple[int, Problem]] = {}
        self._answered = 0
        self._closed = False
        self._lock = threading.Lock()
        context.log_path.write_text("the fake engine was made\n", encoding="utf-8")

    def load(self, progress: Progress) -> EngineInfo:
        progress("loading", "0 s")
        if cause := self._settings.get("fail_load"):
            raise EngineFault(str(cause))
        FakeEngine.loads.append(self.spec.name)
        problems = load_problem_set("humaneval").problems
        self._problems = {problem.prompt: (index, problem) for index, problem in enumerate(problems)}
        return EngineInfo(0.0, 0.0, {"engine": "fake"})

    def submit(self, request: Request) -> Future[Completion]:
        future: Future[Completion] = Future()
        with self._lock:
            dead = self._answered >= self._settings.get("dies_after", float("inf"))
            self._answered += 1
        if dead or self._closed:
            cause = "was closed" if self._closed else "died, as it was told to"
            future.set_exception(EngineFault(f"the fake engine {cause}"))
        elif request.prompt.text not in self._problems:
            future.set_exception(EngineFault("the fake engine knows problems of HumanEval only"))
        else:
            future.set_result(self._completion(request))
        return future

    def reset_cache(self) -> None:
        pass

    @property
    def is_preparing(self) -> bool:
        return False

    def close(self) -> None:
        self._closed = True

    def _completion(self, request: Request) -> Completion:
        index, problem = self._problems[request.prompt.text]
        right = index < self._settings.get("solves", len(self._problems))
        body = problem.canonical_solution if right else WRONG_BODY
        return Completion(
            text=body,
            finish_reason="stop",
            prompt_tokens=len(request.prompt.text.split()),
            completion_tokens=len(body.split()),
            timing=Timing(concurrency=1, queue_s=0.0, ttft_s=0.1, decode_s=0.4, e2e_s=0.5),
        )


# ------------------------------------------------------------------------------------------- contract tests


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
        calls: list[Future[Completion]] = []
        futures = [engine.submit(request) for request in requests]
        for future in futures:
            future.add_done_callback(calls.append)
        assert all(isinstance(future.result(self.answer_timeout_s).text, str) for future in futures)
        assert len(calls) == len(requests)

    def test_an_answer_does_not_depend_on_the_order_of_asking(
        self, engine: Engine, requests: Sequence[Request]
    ) -> None:
        """Answers go to the request that asked, not to the one that waited longest."""
        alone = [self.answers(engine, [request])[0].text for request in requests]
        swapped = self.answers(engine, list(reversed(requests)))
        firsts = [answer.text[:1] for answer in reversed(swapped)]
        assert firsts == [text[:1] for text in alone]  # batching may change later tokens by rounding

    def test_samples_are_requests_of_their_own(self, engine: Engine, requests: Sequence[Request]) -> None:
        samples = [variant(requests[0], index, seed=1000 + index) for index in range(2)]
        assert len(self.answers(engine, samples)) == 2

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
        def drawn(seed: int) -> str:
            return self.answers(engine, [variant(requests[0], seed, seed=seed, temperature=1.5)])[0].text

        assert drawn(1) == drawn(1)
        assert len({drawn(seed) for seed in range(6)}) > 1

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


class LoadedEngine:
    """One loaded engine for many tests: `take` it to close it, and the next `get` loads another."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engine: Engine | None = None

    def get(self) -> Engine:
        if self._engine is None:
            self._engine = self._make()
            self._engine.load(unwatched)
        return self._engine

    def take(self) -> Engine:
        engine, self._engine = self.get(), None
        return engine


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
