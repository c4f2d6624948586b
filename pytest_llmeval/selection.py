"""Which models and problems a run is about: registry, problem sets, files of samples, limits."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_llmeval import problems, samples
from pytest_llmeval.errors import ConfigurationError, LLMEvalError
from pytest_llmeval.extensions import Catalogue, engines, problem_sets, suggestion
from pytest_llmeval.options import Options, ProblemFile
from pytest_llmeval.problems import jsonl
from pytest_llmeval.registry import check_sampling, load_registry
from pytest_llmeval.schema import ModelSpec, Problem, Task
from pytest_llmeval.shards import deal

OWN_TARGET = "pytest_llmeval.problems.jsonl:load"


@dataclass
class Selection:
    """The models of a run and the problems they can be asked. `sample_counts`: task → rows, with a file.

    `files` is the data to read for a set; `own` are the sets that exist by such a file alone.
    """

    options: Options
    specs: Mapping[str, ModelSpec]
    sample_counts: Mapping[str, int] = field(default_factory=dict)
    engines: Catalogue = field(default_factory=engines)
    problem_sets: Catalogue = field(default_factory=problem_sets)
    files: Mapping[str, ProblemFile] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    _problem_sets: dict[str, problems.ProblemSet] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Options, engines: Catalogue, problem_sets: Catalogue) -> Selection:
        """Read the registry; with --llmeval-samples the file takes the place of its models.

        Raises:
            ConfigurationError: the registry, or the file of samples, holds mistakes.
        """
        check_sampling(options.sampling, "--llmeval-sampling, --llmeval-n")
        files, own = _named(options.problem_files, problem_sets)
        targets = {**problem_sets.targets, **dict.fromkeys(own, OWN_TARGET)}
        problem_sets = replace(problem_sets, targets=targets)
        specs = load_registry(options.registry)
        for name, spec in specs.items():
            engines.check(spec.kind, f"{options.registry}: models.{name}.kind")
            for problem_set in spec.problem_sets:
                problem_sets.check(problem_set, f"{options.registry}: models.{name}.problem_sets")
        if options.samples is None:
            return cls(options, specs, {}, engines, problem_sets, files, own)
        found = samples.survey(options.samples)
        categories = tuple(sorted({category for spec in specs.values() for category in spec.categories}))
        replayed = samples.model_of(options.samples, found.said, categories)
        return cls(options, {replayed.name: replayed}, found.counts, engines, problem_sets, files, own)

    def problem_set(self, name: str) -> problems.ProblemSet:
        """A problem set, read once."""
        if name not in self._problem_sets:
            file = self.files[name].path if name in self.files else None
            if file is not None and name in self.own:
                self._problem_sets[name] = jsonl.load(file, name)
            else:
                self._problem_sets[name] = problems.load_problem_set(name, self.problem_sets, file)
        return self._problem_sets[name]

    def problem(self, problem_set: str, task_id: str) -> Problem:
        return self.problem_set(problem_set).problem(task_id)

    def task_ids(self, name: str) -> tuple[str, ...]:
        """The tasks of a set that --llmeval-samples, --llmeval-limit and --llmeval-sample leave.

        Raises:
            ConfigurationError: the file of samples answers a task that the set does not have.
            ProblemSetUnavailableError: its data cannot be had on this machine.
        """
        every = self.problem_set(name).task_ids
        if self.sample_counts:
            self._check_tasks(name, every)
            every = tuple(task_id for task_id in every if task_id in self.sample_counts)
        return problems.select(every, self.options.limit, self.options.sample, self.options.seed)

    def parts(self, name: str, parts: int) -> dict[str, int]:
        """Task → its part of that many, over all tasks that our own options leave of a set; -k changes nothing."""
        return deal(self.task_ids(name), parts, name)

    def _check_tasks(self, name: str, known: tuple[str, ...]) -> None:
        """A file may answer several sets: only ids that begin as the set's do, and are no other's, are mistakes."""
        families = {task_id.partition("/")[0] for task_id in known}
        meant = [task_id for task_id in self.sample_counts if task_id.partition("/")[0] in families]
        strange = set(meant) - set(known)
        if unknown := sorted(strange - self._known_elsewhere(name, strange), key=meant.index):
            raise ConfigurationError(
                f"--llmeval-samples {self.options.samples}: {name} has no task {unknown[0]!r}"
                f"{suggestion(unknown[0], known)} "
                f"({len(unknown)} of {len(self.sample_counts)} tasks are unknown)"
            )

    def _known_elsewhere(self, name: str, task_ids: Set[str]) -> set[str]:
        """Those of the tasks that another set on this machine has: long_prompts and MBPP+ hold a part of a family."""
        found: set[str] = set()
        for other in self.problem_sets.targets if task_ids else ():
            if other != name and not task_ids <= found:
                with contextlib.suppress(LLMEvalError):
                    found |= task_ids & set(self.problem_set(other).task_ids)
        return found

    def task(self, model: str, problem: Problem, suite: Mapping[str, Any]) -> Task:
        """How often, and with which sampling, a model is asked one problem.

        What the command line says wins over what the `suite` says of its sampling, and that over models.toml.
        A file of samples has its own count.

        Raises:
            ConfigurationError: a value makes no sense.
        """
        said = {**suite, **self.options.sampling}
        sampling = replace(self.specs[model].sampling, **check_sampling(said, f"sampling of {model}"))
        if self.sample_counts:
            sampling = replace(sampling, n=self.sample_counts[problem.task_id])
        return Task(problem, sampling)


def _named(
    given: tuple[ProblemFile, ...], known: Catalogue
) -> tuple[dict[str, ProblemFile], tuple[str, ...]]:
    """Files by the set they are for, and the sets that are known by their file alone.

    Raises:
        ConfigurationError: a file's own name is that of a known set, or two files are for one set.
    """
    files: dict[str, ProblemFile] = {}
    for file in given:
        if file.name in known.targets and not file.is_named:
            raise ConfigurationError(
                f"--llmeval-problems {file.path}: its name is that of the problem set {file.name}. Write "
                f"{file.name}={file.path} to read it as that set, or another name before the ="
            )
        if file.name in files:
            raise ConfigurationError(
                f"--llmeval-problems: {files[file.name].path} and {file.path} are both for {file.name}"
            )
        files[file.name] = file
    return files, tuple(name for name in files if name not in known.targets)
