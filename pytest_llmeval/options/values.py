"""What each option's text means, or why it means nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import can_be_a_marker, suggestion
from pytest_llmeval.options.declared import DECLARED, SANDBOX_LIMITS
from pytest_llmeval.paths import path_below

# What no program can do without, so that a 0 would be a verdict about every one of them.
NEEDED_LIMITS = ("wall_s", "cpu_s", "memory_bytes", "tmp_bytes", "open_files")


@dataclass(frozen=True, slots=True)
class ProblemFile:
    """The data of a problem set; `is_named` where the user wrote the name, and not the file alone."""

    name: str
    path: Path
    is_named: bool
    on_command_line: bool


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a run that is spread over `parts` jobs."""

    part: int
    parts: int

    def __str__(self) -> str:
        return f"{self.part} of {self.parts}"


# Of these, nothing is a value like any other: a job without a summary, no model to leave out.
MAY_BE_EMPTY = ("summary", "exclude-models")


def refuse_empty(option: Any) -> None:
    """An option without a value, as of a variable that is not set, would choose every model or switch the gate off.

    Raises:
        ConfigurationError: an option was given with nothing in it.
    """
    for name in DECLARED:
        given = getattr(option, f"llmeval_{name.replace('-', '_')}")
        texts = given if isinstance(given, list) else [given]
        if name not in MAY_BE_EMPTY and any(isinstance(one, str) and not one.strip(" ,") for one in texts):
            raise ConfigurationError(f"--llmeval-{name}= has no value: write one, or leave the option out")


def registry_path(config: pytest.Config) -> Path:
    """The registry named on the command line (relative to where pytest was called) or in the ini file.

    Without either, the models that ship with this package.
    """
    if not config.option.llmeval_registry and not config.getini("llmeval_registry"):
        return Path(__file__).parents[1] / "models.toml"
    path = path_of(config, config.option.llmeval_registry, "llmeval_registry")
    if not path.is_file():
        raise ConfigurationError(
            f"the model registry {path} does not exist: correct --llmeval-registry, or llmeval_registry in "
            f"{config.inipath or 'the ini file'}"
        )
    return path


def sandbox_limits(config: pytest.Config) -> dict[str, float]:
    """`KEY=NUMBER` of the ini file, then of the command line, which wins."""
    given = (*config.getini("llmeval_sandbox_limits"), *config.option.llmeval_sandbox_limit)
    return dict(map(_sandbox_limit, given))


def _sandbox_limit(given: str) -> tuple[str, float]:
    key, _, value = (part.strip() for part in given.partition("="))
    if key not in SANDBOX_LIMITS:
        known = ", ".join(SANDBOX_LIMITS)
        raise ConfigurationError(
            f"sandbox limit {given!r}: unknown key{suggestion(key, SANDBOX_LIMITS)}; known: {known}"
        )
    number = _number(value)
    if not 0 <= number < float("inf"):
        raise ConfigurationError(f"sandbox limit {given!r}: must be a number, as in {key}=5")
    limit = number if key == "wall_s" else int(number)
    if not limit and key in NEEDED_LIMITS:
        least = "above 0" if key == "wall_s" else "at least 1"
        raise ConfigurationError(f"sandbox limit {given!r}: must be {least}, or no program could run")
    return key, limit


def _number(text: str) -> float:
    """What a text says; nan where it says no number, which no comparison accepts."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def sampling(option: Any) -> dict[str, Any]:
    """`KEY=VALUE` as in TOML; --llmeval-n N is short for n=N. What the keys may be, the registry knows."""
    import tomllib

    given: dict[str, Any] = {}
    for line in option.llmeval_sampling:
        try:
            given |= tomllib.loads(line)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(
                f"--llmeval-sampling {line!r}: must be KEY=VALUE as in models.toml, e.g. temperature=0.8 or "
                f"stop=['\\ndef '] ({error})"
            ) from error
    if option.llmeval_n is not None:
        given["n"] = option.llmeval_n
    if given and option.llmeval_samples:
        raise ConfigurationError(
            "--llmeval-samples brings answers that are already drawn: leave out --llmeval-n and --llmeval-sampling"
        )
    return given


def sandbox_site(config: pytest.Config) -> tuple[Path, ...]:
    """The folders of the command line, or else those of the ini file: what is declared is all there is."""
    given = [path_below(config.invocation_params.dir, name) for name in config.option.llmeval_sandbox_site]
    folders = tuple(given or config.getini("llmeval_sandbox_site"))
    for folder in folders:
        if not folder.is_dir():
            where = "--llmeval-sandbox-site" if given else "llmeval_sandbox_site"
            raise ConfigurationError(f"{where}={folder}: no such folder, and programs would import from it")
    return folders


def at_least_one(name: str, given: int | None) -> int | None:
    if given is not None and given < 1:
        raise ConfigurationError(f"--llmeval-{name}={given}: must be at least 1")
    return given


def seconds(name: str, given: float) -> float:
    if not 0 < given < float("inf"):
        raise ConfigurationError(f"--llmeval-{name}={given:g}: must be seconds above 0")
    return given


def concurrency(given: str) -> int | None:
    if given == "auto":
        return None
    if not given.isdecimal() or int(given) < 1:
        raise ConfigurationError(f"--llmeval-concurrency={given}: must be a number of requests, or auto")
    return int(given)


def probe(given: str) -> int:
    if given == "off":
        return 0
    if not given.isdecimal():
        raise ConfigurationError(f"--llmeval-probe={given}: must be a number of requests, or off")
    return int(given)


def shard(given: str | None) -> Shard | None:
    """`2/4`: the second of four parts."""
    if given is None:
        return None
    part, slash, parts = given.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ConfigurationError(f"--llmeval-shard={given}: must be I/N with 1 ≤ I ≤ N, as in 1/4 to 4/4")
    return Shard(int(part), int(parts))


def ray_address(given: str | None) -> str | None:
    if given is None or given == "auto" or re.fullmatch(r"[^\s/]+:\d+", given):
        return given
    raise ConfigurationError(
        f"--llmeval-ray={given}: must be auto or HOST:PORT of a Ray cluster's head node, as `ray status` names it "
        f"(ray://, Ray's remote client, is not supported)"
    )


def devices(given: str | None) -> str | None:
    """`auto`, or names separated by commas; which of them there are, the machine knows."""
    if given is not None and not all(part.strip() for part in given.split(",")):
        raise ConfigurationError(f"--llmeval-devices={given}: must be auto, or devices as in 0,1,2,3")
    return given


def rate(given: str) -> float:
    if given == "off":
        return 0.0
    rate_hz = _number(given)
    if not 0.1 <= rate_hz <= 1000:
        raise ConfigurationError(f"--llmeval-telemetry={given}: must be 0.1 to 1000 a second, or off")
    return rate_hz


def problem_files(config: pytest.Config) -> tuple[ProblemFile, ...]:
    """Those of the command line, then those of the ini file for other sets."""
    ini_folder = config.inipath.parent if config.inipath else config.invocation_params.dir
    given = [_problem_file(one, config.invocation_params.dir, True) for one in config.option.llmeval_problems]
    names = {file.name for file in given}
    noted = [_problem_file(one, ini_folder, False) for one in config.getini("llmeval_problem_files")]
    return (*given, *(file for file in noted if file.name not in names))


def _problem_file(given: str, folder: Path, on_command_line: bool) -> ProblemFile:
    named = re.fullmatch(r"([A-Za-z_]\w*)=(.+)", given.strip())
    path = path_below(folder, named[2] if named else given.strip())
    stem = path.name.partition(".")[0]
    name = named[1] if named else re.sub(r"\W", "_", stem).lower()
    if not can_be_a_marker(name):
        raise ConfigurationError(
            f"--llmeval-problems {given}: {name!r} cannot name a problem set; give it another: NAME={given}"
        )
    if not path.is_file():
        raise ConfigurationError(f"--llmeval-problems {given}: {path} does not exist")
    return ProblemFile(name, path, named is not None, on_command_line)


def given_path(config: pytest.Config, given: str | None) -> Path | None:
    """Relative to where pytest was called."""
    return path_below(config.invocation_params.dir, given) if given else None


def path_of(config: pytest.Config, given: str | None, ini: str) -> Path:
    if given:
        return path_below(config.invocation_params.dir, given)
    # Without an ini file pytest's rootdir may be the folder of any file on the command line: not a place to write.
    base = config.inipath.parent if config.inipath else config.invocation_params.dir
    return path_below(base, str(config.getini(ini)))


def resumed(config: pytest.Config, given: str | None) -> str | None:
    """A run's name, also where its path was given, as a shell completes it."""
    if given is None:
        return None
    path = path_below(config.invocation_params.dir, given)
    reports = path_of(config, config.option.llmeval_reports, "llmeval_reports")
    is_name = len(Path(given).parts) == 1
    return path.name if is_name or path.parent.resolve() == reports.resolve() else given


def globs(values: list[Any]) -> tuple[str, ...]:
    """`["a,b", "c"]` → `("a", "b", "c")`: options may be repeated or hold a comma-separated list."""
    return tuple(part.strip() for value in values for part in str(value).split(",") if part.strip())
