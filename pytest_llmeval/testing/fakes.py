"""Fakes: they measure no model."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, ClassVar

from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, Progress
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.problems import load_problem_set
from pytest_llmeval.schema import Completion, ModelSpec, Problem, Request, Timing

WRONG_BODY = "    return None\n"


class FakeEngine(Engine):
    """An engine without a model: it knows canonical solutions and gives as many as it is told.

    Its `engine` table: `solves` (how many problems of the set it answers rightly, in published order; default
    all), `fail_load` (a cause: it will not load), `dies_after` (it dies after so many answers), `facts` (what it tells
    of itself besides). Use it as
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
        return EngineInfo(0.0, 0.0, {"engine": "fake", **self._settings.get("facts", {})})

    def submit(self, request: Request) -> Future[Completion]:
        future: Future[Completion] = Future()
        with self._lock:
            dead = self._answered >= self._settings.get("dies_after", float("inf"))
            self._answered += 1
        if dead or self._closed:
            cause = "was closed" if self._closed else "died, as it was told to"
            future.set_exception(EngineFault(f"the fake engine {cause}"))
        elif self._asked(request) is None:
            future.set_exception(EngineFault("the fake engine knows problems of HumanEval only"))
        else:
            future.set_result(self._completion(request))
        return future

    def close(self) -> None:
        self._closed = True

    def _asked(self, request: Request) -> str | None:
        """The prompt of the problem that is asked, also where it is buried in a long one."""
        text = request.prompt.text
        if text in self._problems:
            return text
        task_id = request.task_id.partition("-")[0]
        named = (prompt for prompt, (_, problem) in self._problems.items() if problem.task_id == task_id)
        return next((prompt for prompt in named if prompt.strip() in text), None)

    def _completion(self, request: Request) -> Completion:
        index, problem = self._problems[self._asked(request) or ""]
        right = index < self._settings.get("solves", len(self._problems))
        body = problem.canonical_solution if right else WRONG_BODY
        return Completion(
            text=body,
            finish_reason="stop",
            prompt_tokens=len(request.prompt.text.split()),
            completion_tokens=len(body.split()),
            timing=Timing(concurrency=1, queue_s=0.0, ttft_s=0.1, decode_s=0.4, e2e_s=0.5),
        )
