"""Names of engines and problem sets: ours, those of installed packages, those of the project's conftest.

A name stands for "module:attr", imported on first use; an unknown one is answered with what is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from pytest_llmeval.errors import ConfigurationError, MissingExtraError, what_and_where

OURS = "pytest_llmeval"
# Others are read while items are collected, when it is known already what there is.
LATE_CONFTESTS = (
    "Names of a conftest.py count where it lies at the project's top, or above a path on the command line"
)
# Names of sets and categories become markers: these have a meaning for pytest, or for us.
# fmt: off
RESERVED_MARKERS = frozenset({
    "skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings", "tryfirst", "trylast",
    "benchmark", "problems", "serving", "latency", "throughput", "memory", "goodput",
})
# fmt: on


@dataclass(frozen=True)
class Catalogue:
    """What names of one kind stand for. `what` is the kind, for messages."""

    what: str
    targets: Mapping[str, str]

    def check(self, name: str, where: str) -> None:
        """Raises ConfigurationError where `name` stands for nothing; `where` says who wrote it."""
        if ":" not in name and name not in self.targets:
            raise ConfigurationError(
                f"{where}: unknown {self.what} {name!r}{suggestion(name, self.targets)}; "
                f"known: {', '.join(sorted(self.targets))}. {LATE_CONFTESTS}"
            )

    def load(self, name: str) -> Any:
        """Import what `name` stands for; "module:attr" stands for itself.

        Raises:
            ConfigurationError: no such name, its module cannot be imported, or has no such attribute.
            MissingExtraError: the module needs a package that is not installed.
        """
        self.check(name, self.what)
        target = self.targets.get(name, name)
        module, _, attribute = target.partition(":")
        if not module or not attribute:
            raise ConfigurationError(
                f'{self.what} {name!r} stands for {target!r}: must be "module:attribute"'
            )
        try:
            imported = import_module(module)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"{self.what} {name!r} needs the package {error.name!r}, which is not installed: "
                f"{self._how_to_install(name)}"
            ) from error
        except Exception as error:  # others' code raises whatever it likes
            raise ConfigurationError(
                f"{self.what} {name!r}: {module} cannot be imported: {what_and_where(error)}"
            ) from error
        if not hasattr(imported, attribute):
            raise ConfigurationError(f"{self.what} {name!r}: {module} has no {attribute!r}")
        return getattr(imported, attribute)

    def _how_to_install(self, name: str) -> str:
        ours = self.targets.get(name, "").startswith(f"{OURS}.")
        return f"pip install 'pytest-llmeval-bench[{name}]'" if ours else "install it, or correct the name"


def engines(project: Iterable[Mapping[str, str]] = ()) -> Catalogue:
    """Every known engine; `project` are the mappings that conftest hooks return."""
    ours = {
        "vllm": f"{OURS}.engines.vllm:VLLMEngine",
        "openai": f"{OURS}.engines.openai:OpenAIEngine",
        "transformers": f"{OURS}.engines.transformers:TransformersEngine",
        "replay": f"{OURS}.engines.replay:ReplayEngine",
    }
    return Catalogue("engine", _joined(ours, f"{OURS}.engines", project))


def problem_sets(project: Iterable[Mapping[str, str]] = ()) -> Catalogue:
    """Every known problem set; a target is a function that returns a ProblemSet."""
    ours = {
        "humaneval": f"{OURS}.problems.humaneval:load",
        "humanevalplus": f"{OURS}.problems.evalplus:load_humanevalplus",
        "mbpp": f"{OURS}.problems.mbpp:load",
        "mbppplus": f"{OURS}.problems.evalplus:load_mbppplus",
        "long_prompts": f"{OURS}.problems.long_prompts:load",
    }
    targets = _joined(ours, f"{OURS}.problems", project)
    for name in targets:
        if not can_be_a_marker(name):
            raise ConfigurationError(
                f"the problem set {name!r}, which is {targets[name]}: its name cannot be its marker; rename it"
            )
    return Catalogue("problem set", targets)


def require(extra: str, *packages: str, who: str = "its engine") -> None:
    """See that the packages of an extra are there, importing none of them; `who` needs them.

    Raises:
        MissingExtraError: one is not installed.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(
                f"{who} needs the package {package!r}, which is not installed: "
                f"pip install 'pytest-llmeval-bench[{extra}]'"
            )


def _joined(ours: dict[str, str], group: str, project: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Raises ConfigurationError where two claim one name: whose would be meant?"""
    joined = dict(ours)
    packages = {entry.name: entry.value for entry in entry_points(group=group)}
    for mapping in (packages, *project):
        for name, target in mapping.items():
            if joined.setdefault(name, target) != target:
                raise ConfigurationError(
                    f"{group}: the name {name!r} is claimed twice, by {joined[name]} and {target}; rename one"
                )
    return joined


def can_be_a_marker(name: str) -> bool:
    """True where items can carry it and -m can choose it; pytest refuses a leading underscore."""
    return name.isidentifier() and not name.startswith("_") and name not in RESERVED_MARKERS


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known name is close."""
    close = get_close_matches(name, [str(k) for k in known], n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""
