"""Files of a user's own problems, collected as our suite on that file's set."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from pytest_llmeval.options import ProblemFile
from pytest_llmeval.run import Run

OWN_SET = "--llmeval-problems"  # stands in a marker for the set of the file that is collected
OWN_SUITE = "pytest_llmeval.suites.own_problems"


class OwnProblems(pytest.Module):
    """A user's file of problems, collected as a module: our suite, on that file's set."""

    problem_set: str

    def _getobj(self) -> ModuleType:
        return import_module(OWN_SUITE)


def add_own_files(config: pytest.Config, run: Run) -> None:
    """Collect the files that are sets by themselves: alone, or beside what the command line names.

    Of a file that it names itself, as in a node id, only what it names.
    """
    own = [file.path for file in _own_files(run).values()]
    if own and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args.clear()
    named = {(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args}
    config.args.extend(str(path) for path in own if path.resolve() not in named)


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
