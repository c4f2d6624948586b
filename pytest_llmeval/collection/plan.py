"""From the selected items to the plan, and their order.

Our hooks register when the session starts, which puts them outside everyone else's: --ff and shuffling
plugins reorder first, then items are grouped by model again, so that each model loads once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from _pytest.mark.expression import Expression  # pytest has no public way to read what -m takes

from pytest_llmeval import workers
from pytest_llmeval.collection.marks import unknown_marks
from pytest_llmeval.collection.parameters import SERVING, SERVING_MARKERS, model_of, problem_of
from pytest_llmeval.engines import holds_weights
from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.items.benchmarking import VirtualClock
from pytest_llmeval.run import Run
from pytest_llmeval.schema import Task

CLOCK = pytest.StashKey[VirtualClock]()
# Items that take long and are wanted rarely; they run where -m or a path chooses them, never by the way.
CHOSEN_ONLY = (SERVING, "long_prompts")


class CollectionHooks:
    """Selection by model, grouping by model, and the plan; registered at session start."""

    def __init__(self, run: Run, deselected: set[str]) -> None:
        self._run = run
        self._deselected = deselected
        self._why_nothing: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside --lf and --ff, which are tryfirst too
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> Iterator[None]:
        _drop_models(config, items, self._deselected)
        _drop_measurements(session, items)
        before = list(items) if config.option.markexpr else []
        yield
        if not items and any(map(model_of, before)):
            self._why_nothing = unknown_marks(config.option.markexpr, before, self._run)
        group_by_model(items)
        if workers.is_worker(config) and (local := _models_of_this_machine(self._run, items)):
            workers.refuse(config, local)
            items[:] = [item for item in items if model_of(item) is None]
        try:
            self._run.whole.update(tasks_of(self._run, items))
            if self._run.options.shard:
                _drop_other_shards(config, items, self._run)
            make_plan(self._run, items)
            if workers.is_worker(config):
                _deal(self._run, items)
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error

    def pytest_report_collectionfinish(self) -> list[str]:
        return self._why_nothing


def _models_of_this_machine(run: Run, items: list[pytest.Item]) -> list[str]:
    """Models whose engine holds their weights here, so that each worker would load them."""
    names = dict.fromkeys(model for item in items if (model := model_of(item)))
    return [name for name in names if holds_weights(run.specs[name], run.selection.engines)]


def _deal(run: Run, items: list[pytest.Item]) -> None:
    """Leave the plan to what this worker is given to run."""
    tasks = {
        (model, task.problem.problem_set, task.problem.task_id): task
        for model, planned in run.plan.items()
        for task in planned
    }
    run.plan.clear()
    run.deal(
        (item.nodeid, model, tasks.get(_asked(item, model, run)))
        for item in items
        if (model := model_of(item))
    )


def _asked(item: pytest.Item, model: str, run: Run) -> tuple[str, str, str]:
    problem = problem_of(item, run)
    return (model, problem.problem_set, problem.task_id) if problem else (model, "", "")


def _drop_models(config: pytest.Config, items: list[pytest.Item], names: set[str]) -> None:
    dropped = [item for item in items if model_of(item) in names] if names else []
    if dropped:
        items[:] = [item for item in items if model_of(item) not in names]
        config.hook.pytest_deselected(items=dropped)


def _drop_measurements(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Leave out items with a marker of CHOSEN_ONLY that nobody chose: by an expression for -m, or by their file or its
    folder on the command line (with --pyargs, by their module or its package)."""
    dropped = [
        item
        for item in items
        if any(map(item.get_closest_marker, CHOSEN_ONLY))
        and not any(map(session.isinitpath, (item.path, item.path.parent)))
        and not _asks_for(session.config.option.markexpr, item)
    ]
    if dropped:
        left_out = set(dropped)
        items[:] = [item for item in items if item not in left_out]
        session.config.hook.pytest_deselected(items=dropped)


def _asks_for(expression: str, item: pytest.Item) -> bool:
    """`latency` asks for a measurement; `not demo`, which would hold without its markers as well, does not."""
    if not expression:
        return False
    others = {marker.name for marker in item.iter_markers()} - {*SERVING_MARKERS, *CHOSEN_ONLY}
    try:
        return not Expression.compile(expression).evaluate(lambda name, /, **_: name in others)
    except SyntaxError:
        return True  # pytest says what is wrong with it


def group_by_model(items: list[pytest.Item]) -> None:
    """Bring items of one model together, stably, in the order in which models first appear."""
    first_seen: dict[str | None, int] = {}
    for item in items:
        first_seen.setdefault(model_of(item), len(first_seen))
    items.sort(key=lambda item: first_seen[model_of(item)])


def _drop_other_shards(config: pytest.Config, items: list[pytest.Item], run: Run) -> None:
    """Leave this shard's problems. What has no problem, a measurement of a model, belongs to the first shard."""
    shard = run.options.shard
    assert shard is not None
    parts: dict[str, dict[str, int]] = {}
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        problem, part = problem_of(item, run), 1
        if problem:
            known = parts.setdefault(
                problem.problem_set, run.selection.parts(problem.problem_set, shard.parts)
            )
            part = known[problem.task_id]
        (kept if model_of(item) is None or part == shard.part else dropped).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


def make_plan(run: Run, items: list[pytest.Item]) -> None:
    """Make the run's plan of the selected items.

    Raises:
        ConfigurationError: two items want answers to one problem that are drawn differently.
    """
    run.plan.clear()
    run.plan.update(tasks_of(run, items))
    for item in items:
        if model := model_of(item):
            judged = problem_of(item, run) and item.get_closest_marker("problems")
            if judged or item.get_closest_marker(SERVING):
                _give_clock(item, model)
            if not judged:
                run.engine_wanted.add(model)


def tasks_of(run: Run, items: list[pytest.Item]) -> dict[str, list[Task]]:
    """Which problems each model is asked: the union over the items, each once.

    Raises:
        ConfigurationError: two items want answers to one problem that are drawn differently.
    """
    planned: dict[str, dict[tuple[str, str], tuple[Task, pytest.Item]]] = {}
    for item in items:
        model = model_of(item)
        if model is None:
            continue
        tasks = planned.setdefault(model, {})
        if (problem := problem_of(item, run)) and (marker := item.get_closest_marker("problems")):
            task = run.selection.task(model, problem, marker.kwargs)
            first, other = tasks.setdefault((problem.problem_set, problem.task_id), (task, item))
            if first != task:
                raise ConfigurationError(_asked_twice(first, other, task, item))
    return {model: [task for task, _ in tasks.values()] for model, tasks in planned.items()}


def _asked_twice(first: Task, one: pytest.Item, second: Task, other: pytest.Item) -> str:
    here, there = asdict(first.sampling), asdict(second.sampling)
    differing = [key for key in here if here[key] != there[key]]

    def told(item: pytest.Item, sampling: dict[str, Any]) -> str:
        return f"{item.nodeid} ({', '.join(f'{key}={sampling[key]!r}' for key in differing)})"

    return (
        f"a run asks a model for each problem in one way, but {told(one, here)} and {told(other, there)} differ. "
        "Select one of the two suites, or let the second run on a model entry of its own (`extends`, "
        "docs/models.md)"
    )


def _give_clock(item: pytest.Item, model: str) -> None:
    """Let pytest-benchmark read engine time instead of the wall clock around a wait."""
    item.stash[CLOCK] = VirtualClock()
    if item.config.pluginmanager.hasplugin("benchmark"):
        item.add_marker(pytest.mark.benchmark(timer=item.stash[CLOCK], group=model))
