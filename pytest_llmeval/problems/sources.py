"""Where the data of published sets comes from, and where it lies on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytest_llmeval.errors import ConfigurationError, ProblemSetUnavailableError


@dataclass(frozen=True, slots=True)
class HubSource:
    """A data set on the hub, at one commit. `problems` is how many it must have."""

    repository: str
    revision: str
    problems: int
    split: str = "test"
    config: str | None = None


HUB: dict[str, HubSource] = {
    "humanevalplus": HubSource(
        "evalplus/humanevalplus", "d32357cf319e50e9c8d8dab5ea876c72b0fd321b", problems=164
    ),
    "mbppplus": HubSource("evalplus/mbppplus", "b2d74c91837c3f2a20c1299ae98133cbe7cfa077", problems=378),
    "mbpp": HubSource(
        "google-research-datasets/mbpp",
        "4bb6404fdc6cacfda99d4ac4205087b89d32030c",
        problems=427,
        split="train+test+validation+prompt",
        config="sanitized",
    ),
}


def cache_folder() -> Path:
    """Where fetched data and measured answers are kept: PYTEST_LLMEVAL_CACHE, or the user's cache folder."""
    if given := os.environ.get("PYTEST_LLMEVAL_CACHE"):
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("pytest_llmeval", appauthor=False)


def fetched(name: str) -> Path:
    """Where `fetch` puts a set."""
    return cache_folder() / "problems" / f"{name}.jsonl"


def locate(name: str, file: Path | None) -> Path:
    """The data of a published set: the file that was named, or what `fetch` left.

    Raises:
        ConfigurationError: the named file does not exist.
        ProblemSetUnavailableError: there is neither.
    """
    if file is not None:
        if not file.is_file():
            raise ConfigurationError(f"--llmeval-problems {name}={file}: no such file")
        return file
    path = fetched(name)
    if not path.is_file():
        source = HUB[name]
        raise ProblemSetUnavailableError(
            f"{name} is not on this machine. To fetch it from the hub ({source.repository}): "
            f"python -m pytest_llmeval fetch {name}. To use a file: --llmeval-problems {name}=FILE"
        )
    return path
