"""From the registry and the problem sets to items, and from the selected items to the plan.

Our hooks register when the session starts, which puts them outside everyone else's: --ff and shuffling
plugins reorder first, then items are grouped by model again, so that each model loads once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from pytest_llmeval import workers
from pytest_llmeval.benchmarking import VirtualClock
from pytest_llmeval.errors import ConfigurationError, ProblemSetUnavailableError
from pytest_llmeval.options import ProblemFile
from pytest_llmeval.registry import check_sampling
from pytest_llmeval.run import Run
from pytest_llmeval.schema import Problem, Task

CLOCK = pytest.StashKey[VirtualClock]()

OWN_SET = "--llmeval-problems"  # stands in a marker for the set of the file that is collected
OWN_SUITE = "pytest_llmeval.suites.own_problems"
FIXTURES_MODULE = "pytest_llmeval.hooks"
ENGINE = "engine"
# Items that measure; they run where -m or a path chooses them, never by the way.
SERVING = "serving"
CHOSEN_ONLY = (SERVING, "long_prompts")  # markers of what takes long and is wanted rarely
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


class TaskId(str):
    """A task's name as our parameter, and the problem set it belongs to."""

    problem_set: str

    def __new__(cls, task_id: str, problem_set: str) -> TaskId:
        made = super().__new__(cls, task_id)
        made.problem_set = problem_set
        return made


class Absence(str):
    """Why a problem set has no items; a fault where its data is missing."""

    is_fault: bool

    def __new__(cls, reason: str, is_fault: bool) -> Absence:
        made = super().__new__(cls, reason)
        made.is_fault = is_fault
        return made


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
    sets = _problem_set_names(metafunc, run) if PROBLEM_PARAMETER in names else ()
    try:
        problems = [_problem_parameter(id_, name) for name in sets for id_ in run.selection.task_ids(name)]
    except ProblemSetUnavailableError as error:
        _stand_in(metafunc, names, sets[0], Absence(str(error), is_fault=True))
        return
    if sets and not problems:
        reason = f"{run.options.samples} answers no task of {', '.join(sets)}"
        _stand_in(metafunc, names, sets[0], Absence(reason, is_fault=False))
        return
    if ENGINE in names:
        marked = any(run.selection.problem_set(name).takes_categories for name in sets)
        values = [_model_parameter(run, name, marked) for name in models]
        metafunc.parametrize(ENGINE, values, indirect=True, scope="session")
    if sets:
        metafunc.parametrize(PROBLEM_PARAMETER, problems, indirect=True)


def _stand_in(metafunc: pytest.Metafunc, names: set[str], problem_set: str, why: Absence) -> None:
    """One item in place of a set whose tasks cannot be named: it is skipped, and says why."""
    ids = {ENGINE: problem_set, PROBLEM_PARAMETER: "unavailable"}
    for name in sorted(names):
        scope: Literal["session", "function"] = "session" if name == ENGINE else "function"
        parameter = pytest.param(why, id=ids[name], marks=getattr(pytest.mark, problem_set))
        metafunc.parametrize(name, [parameter], indirect=True, scope=scope)


def absence(item: pytest.Item) -> Absence | None:
    """Why an item only stands in for a problem set, None for all others."""
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get(PROBLEM_PARAMETER) if callspec else None
    return value if isinstance(value, Absence) else None


# ---------------------------------------------------------------------------------- problems of one's own


class OwnProblems(pytest.Module):
    """A user's file of problems, collected as a module: our suite, on that file's set."""

    problem_set: str

    def _getobj(self) -> ModuleType:
        return import_module(OWN_SUITE)


def add_own_files(config: pytest.Config, run: Run) -> None:
    """Collect the files that are sets by themselves: alone, or beside what the command line names."""
    own = [str(file.path) for file in _own_files(run).values()]
    if own and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args.clear()
    config.args.extend(own)


def own_module(parent: pytest.Collector, path: Path, run: Run) -> OwnProblems | None:
    """The module that stands for a file of `--llmeval-problems`, None for any other file."""
    for name, file in _own_files(run).items():
        if path.resolve() == file.path.resolve():
            module: OwnProblems = OwnProblems.from_parent(parent, path=path)
            module.problem_set = name
            return module
    return None


def _own_files(run: Run) -> dict[str, ProblemFile]:
    files = {name: run.selection.files[name] for name in run.selection.own}
    return {name: file for name, file in files.items() if file.on_command_line}


def is_our_fixture(metafunc: pytest.Metafunc, name: str) -> bool:
    """True where a test asks for our fixture, not for one of its project's that has the same name."""
    if name not in metafunc.fixturenames:
        return False
    # pytest has no public way to ask which definition a name stands for.
    definitions = metafunc.definition._fixtureinfo.name2fixturedefs.get(name, ())
    return bool(definitions) and definitions[-1].func.__module__ == FIXTURES_MODULE


def _problem_set_names(metafunc: pytest.Metafunc, run: Run) -> tuple[str, ...]:
    marker = metafunc.definition.get_closest_marker("problems")
    if marker is None or len(marker.args) != 1:
        raise ConfigurationError(
            f"{metafunc.definition.nodeid} uses the fixture 'record' or 'problem' but does not say of which "
            f'problem set: mark it, for example @pytest.mark.problems("humaneval"); known: '
            f"{', '.join(run.selection.problem_sets.targets)}"
        )
    name = str(marker.args[0])
    check_sampling(marker.kwargs, f"{metafunc.definition.nodeid}, @pytest.mark.problems")
    module = metafunc.definition.getparent(OwnProblems)
    if name == OWN_SET and module is not None:
        return (module.problem_set,)
    run.selection.problem_sets.check(name, metafunc.definition.nodeid)
    return (name,)


def _model_parameter(run: Run, name: str, with_categories: bool) -> Any:
    categories = run.specs[name].categories if with_categories else ()
    return pytest.param(
        ModelName(name), id=name, marks=[getattr(pytest.mark, category) for category in categories]
    )


def _problem_parameter(task_id: str, problem_set: str) -> Any:
    """The task's id is the parameter: a Problem would be spelled out in benchmark files."""
    return pytest.param(TaskId(task_id, problem_set), id=task_id, marks=getattr(pytest.mark, problem_set))


# ------------------------------------------------------------------------------------------ after selection


def model_of(item: pytest.Item) -> str | None:
    """The model an item runs on, None where it is not one of ours."""
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get(ENGINE) if callspec else None
    return value if isinstance(value, ModelName) else None


def problem_of(item: pytest.Item, run: Run) -> Problem | None:
    """The problem an item runs on, None where it has none of ours."""
    callspec = getattr(item, "callspec", None)
    task_id = callspec.params.get(PROBLEM_PARAMETER) if callspec else None
    return run.selection.problem(task_id.problem_set, task_id) if isinstance(task_id, TaskId) else None


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
    """Leave out items with a marker of CHOSEN_ONLY that nobody chose: by an expression for -m, or a path to them."""
    if config.option.markexpr:
        return
    given = [(config.invocation_params.dir / str(arg).split("::")[0]).resolve() for arg in config.args]
    dropped = [
        item
        for item in items
        if any(map(item.get_closest_marker, CHOSEN_ONLY))
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
