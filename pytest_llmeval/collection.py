"""From the registry and the problem sets to items, and from the selected items to the plan.

Our hooks register when the session starts, which puts them outside everyone else's: --ff and shuffling
plugins reorder first, then items are grouped by model again, so that each model loads once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import pytest

from pytest_llmeval import workers
from pytest_llmeval.benchmarking import VirtualClock
from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.registry import check_sampling
from pytest_llmeval.run import Run
from pytest_llmeval.schema import Problem, Task

CLOCK = pytest.StashKey[VirtualClock]()

FIXTURES_MODULE = "pytest_llmeval.hooks"
ENGINE = "engine"
# Items that measure; they run where -m or a path chooses them, never by the way.
SERVING = "serving"
SERVING_MARKERS = {
    SERVING: "measures how a model serves; runs only where -m, or the path of its folder, chooses it",
    "latency": "one stream: time to the first token, per token, in all",
    "throughput": "many requests at a time: tokens a second and latencies",
    "memory": "what fits into memory, and where it goes",
    "goodput": "requests that arrive by chance, and limits they must keep to",
}
PROBLEM_PARAMETER = "problem"


class ModelName(str):
    """A model's name as our parameter: a plain string to everyone else, and ours to know again."""

    __slots__ = ()


# ------------------------------------------------------------------------------------------------ models


def chosen_models(run: Run, deselected: set[str]) -> list[str]:
    """Names of the models whose items exist at all, in registry order.

    Raises:
        ConfigurationError: a pattern matches no model.
    """
    options = run.options
    for flag, patterns in (
        ("--llmeval-models", options.models),
        ("--llmeval-exclude-models", options.exclude_models),
    ):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in run.specs):
                raise ConfigurationError(f"{flag}: no model matches {pattern!r}{_did_you_mean(pattern, run)}")
    return [
        name
        for name in run.specs
        if (not options.models or _matches(name, options.models))
        and not _matches(name, options.exclude_models)
    ]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _did_you_mean(name: str, run: Run) -> str:
    close = get_close_matches(name, run.specs, n=1, cutoff=0.7)
    hint = f"; did you mean {close[0]}?" if close else "."
    return f"{hint} {run.options.registry} has: {', '.join(run.specs)}"


def take_deselected_models(config: pytest.Config, run: Run) -> set[str]:
    """Take model names out of --deselect, which pytest itself would ignore silently.

    Raises:
        ConfigurationError: a bare word is close to a model's name but is none.
    """
    given = list(config.option.deselect or [])
    names = {entry for entry in given if entry in run.specs}
    for entry in given:
        if entry not in names and _looks_like_a_name(config, entry):
            close = get_close_matches(entry, run.specs, n=1, cutoff=0.7)
            if close:
                raise ConfigurationError(f"--deselect {entry}: no such model; did you mean {close[0]}?")
    config.option.deselect = [entry for entry in given if entry not in names]
    return names


def _looks_like_a_name(config: pytest.Config, entry: str) -> bool:
    """Not a node id: no `::`, no file of that name."""
    return "::" not in entry and not (config.rootpath / entry).exists()


# ----------------------------------------------------------------------------------------- parametrisation


def register_markers(config: pytest.Config, run: Run) -> None:
    """Declare every marker our items can carry, so that --strict-markers passes."""
    add = config.addinivalue_line
    add(
        "markers",
        "problems(name, n=1, temperature=0.0, ...): the problem set a test runs on, and how its answers are drawn",
    )
    for name, what in SERVING_MARKERS.items():
        add("markers", f"{name}: {what}")
    for name in run.selection.problem_sets.targets:
        add("markers", f"{name}: items of the problem set {name}")
    for category in sorted({c for spec in run.specs.values() for c in spec.categories}):
        add("markers", f"{category}: items of models in the category {category} (models.toml)")


def parametrize(metafunc: pytest.Metafunc, run: Run, models: list[str]) -> None:
    """Give a test function its models and problems: items `[model-HumanEval/0]`.

    Engines are parametrised by the model's name: names are equal by value, so pytest keeps one engine for
    all suites, and no path of this machine leaks into benchmark files.
    """
    names = {name for name in (ENGINE, PROBLEM_PARAMETER) if is_our_fixture(metafunc, name)}
    if not names:
        return
    problem_set = _problem_set_name(metafunc, run) if PROBLEM_PARAMETER in names else None
    chosen = run.selection.problem_set(problem_set) if problem_set else None
    if ENGINE in names:
        marked = chosen is not None and chosen.takes_categories
        values = [_model_parameter(run, name, marked) for name in models]
        metafunc.parametrize(ENGINE, values, indirect=True, scope="session")
    if chosen and problem_set:
        problems = [_problem_parameter(p, problem_set) for p in run.selection.problems(problem_set)]
        metafunc.parametrize(PROBLEM_PARAMETER, problems, indirect=True)


def is_our_fixture(metafunc: pytest.Metafunc, name: str) -> bool:
    """True where a test asks for our fixture, not for one of its project's that has the same name."""
    if name not in metafunc.fixturenames:
        return False
    # pytest has no public way to ask which definition a name stands for.
    definitions = metafunc.definition._fixtureinfo.name2fixturedefs.get(name, ())
    return bool(definitions) and definitions[-1].func.__module__ == FIXTURES_MODULE


def _problem_set_name(metafunc: pytest.Metafunc, run: Run) -> str:
    marker = metafunc.definition.get_closest_marker("problems")
    if marker is None or len(marker.args) != 1:
        raise ConfigurationError(
            f"{metafunc.definition.nodeid} uses the fixture 'record' or 'problem' but does not say of which "
            f'problem set: mark it, for example @pytest.mark.problems("humaneval"); known: '
            f"{', '.join(run.selection.problem_sets.targets)}"
        )
    name = str(marker.args[0])
    run.selection.problem_sets.check(name, metafunc.definition.nodeid)
    check_sampling(marker.kwargs, f"{metafunc.definition.nodeid}, @pytest.mark.problems")
    return name


def _model_parameter(run: Run, name: str, with_categories: bool) -> Any:
    categories = run.specs[name].categories if with_categories else ()
    return pytest.param(
        ModelName(name), id=name, marks=[getattr(pytest.mark, category) for category in categories]
    )


def _problem_parameter(problem: Problem, problem_set: str) -> Any:
    """The task's id is the parameter: a Problem would be spelled out in benchmark files."""
    return pytest.param(problem.task_id, id=problem.task_id, marks=getattr(pytest.mark, problem_set))


# ------------------------------------------------------------------------------------------ after selection


def model_of(item: pytest.Item) -> str | None:
    """The model an item runs on, None where it is not one of ours."""
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get(ENGINE) if callspec else None
    return value if isinstance(value, ModelName) else None


def problem_of(item: pytest.Item, run: Run) -> Problem | None:
    """The problem an item runs on, None where it has none of ours."""
    callspec = getattr(item, "callspec", None)
    marker = item.get_closest_marker("problems")
    if callspec is None or marker is None or PROBLEM_PARAMETER not in callspec.params:
        return None
    return run.selection.problem(marker.args[0], callspec.params[PROBLEM_PARAMETER])


class CollectionHooks:
    """Selection by model, grouping by model, and the plan; registered at session start."""

    def __init__(self, run: Run, deselected: set[str]) -> None:
        self._run = run
        self._deselected = deselected

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside --lf and --ff, which are tryfirst too
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Iterator[None]:
        _drop_models(config, items, self._deselected)
        _drop_measurements(config, items)
        yield
        group_by_model(items)
        if workers.is_worker(config) and any(model_of(item) for item in items):
            workers.refuse(config)
            items[:] = [item for item in items if model_of(item) is None]
        try:
            make_plan(self._run, items)
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error


def _drop_models(config: pytest.Config, items: list[pytest.Item], names: set[str]) -> None:
    dropped = [item for item in items if model_of(item) in names] if names else []
    if dropped:
        items[:] = [item for item in items if model_of(item) not in names]
        config.hook.pytest_deselected(items=dropped)


def _drop_measurements(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out items marked `serving` that nobody chose: neither by an expression for -m, nor by a path to them."""
    if config.option.markexpr:
        return
    given = [(config.invocation_params.dir / str(arg).split("::")[0]).resolve() for arg in config.args]
    dropped = [
        item
        for item in items
        if item.get_closest_marker(SERVING)
        and not any(path == item.path or item.path.parent in (path, *path.parents) for path in given)
    ]
    if dropped:
        items[:] = [item for item in items if item not in set(dropped)]
        config.hook.pytest_deselected(items=dropped)


def group_by_model(items: list[pytest.Item]) -> None:
    """Bring items of one model together, stably, in the order in which models first appear."""
    first_seen: dict[str | None, int] = {}
    for item in items:
        first_seen.setdefault(model_of(item), len(first_seen))
    items.sort(key=lambda item: first_seen[model_of(item)])


def make_plan(run: Run, items: list[pytest.Item]) -> None:
    """Which problems each model will be asked: the union over all selected items, each once.

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
            _give_clock(item, model)
        else:
            run.engine_wanted.add(model)
    run.plan.clear()
    run.plan.update({model: [task for task, _ in tasks.values()] for model, tasks in planned.items()})


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
