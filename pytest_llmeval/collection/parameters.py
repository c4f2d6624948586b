"""From the registry and the problem sets to items `[model-HumanEval/0]`, and from an item back to both."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from pytest_llmeval.collection.own_files import OWN_SET, OwnProblems
from pytest_llmeval.errors import ConfigurationError, ProblemSetUnavailableError
from pytest_llmeval.registry import check_sampling
from pytest_llmeval.run import Run
from pytest_llmeval.schema import Problem

FIXTURES_MODULE = "pytest_llmeval.hooks"
ENGINE = "engine"
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
    _refuse_parameters_of_its_own(metafunc, names)
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


def is_our_fixture(metafunc: pytest.Metafunc, name: str) -> bool:
    """True where a test asks for our fixture, not for one of its project's that has the same name.

    One that asks for its own name stands on the fixture it overrides, which may be ours.
    """
    if name not in metafunc.fixturenames:
        return False
    # pytest has no public way to ask which definition a name stands for; the last one overrides the others.
    for definition in reversed(metafunc.definition._fixtureinfo.name2fixturedefs.get(name, ())):
        if definition.func.__module__ == FIXTURES_MODULE:
            return True
        if name not in definition.argnames:
            return False
    return False


def _refuse_parameters_of_its_own(metafunc: pytest.Metafunc, names: set[str]) -> None:
    """Raises ConfigurationError where a test gives values to our fixtures itself."""
    for marker in metafunc.definition.iter_markers("parametrize"):
        given = marker.args[0] if marker.args else marker.kwargs.get("argnames", ())
        every = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
        if taken := sorted(names.intersection(every)):
            raise ConfigurationError(
                f"{metafunc.definition.nodeid} parametrizes {', '.join(taken)}, which this plugin gives its values: "
                "leave that out. Choose models with --llmeval-models or -k, or skip in the test: "
                "if engine.spec.name not in (...): pytest.skip()"
            )


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
