"""pytest's option bag and ini file become one frozen Options; bad input fails here and nowhere later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import suggestion

DEFAULT_REPORTS = "reports"
# Names of sets become markers: these have a meaning for pytest, or for us.
RESERVED_NAMES = {
    "skip",
    "skipif",
    "xfail",
    "parametrize",
    "usefixtures",
    "filterwarnings",
    "benchmark",
    "problems",
}
# What --llmeval-sandbox-limit can set: the fields of sandbox.Limits, which this module must not import.
SANDBOX_LIMITS = (
    *("wall_s", "cpu_s", "memory_bytes", "processes", "threads", "file_bytes", "tmp_bytes", "open_files"),
    *("output_bytes", "output_kept_bytes"),
)

WrongAnswers = Literal["fail", "xfail"]
Scoring = Literal["auto", "overlap", "after"]
Passing = Literal[
    "any", "all", "majority"
]  # the values of schema.PassRule, which is not imported until needed


@dataclass(frozen=True, slots=True)
class ProblemFile:
    """The data of a problem set; `is_named` where the user wrote the name, and not the file alone."""

    name: str
    path: Path
    is_named: bool
    on_command_line: bool


@dataclass(frozen=True)
class Options:
    """What the user asked for, checked."""

    registry: Path
    reports: Path
    models: tuple[str, ...] = ()
    exclude_models: tuple[str, ...] = ()
    samples: Path | None = None
    resume: str | None = None
    problem_files: tuple[ProblemFile, ...] = ()
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    concurrency: int | None = None
    wrong: WrongAnswers = "fail"
    strict: bool = False
    scoring: Scoring = "auto"
    sandbox: str = "auto"
    sandbox_workers: int | None = None
    sandbox_limits: Mapping[str, float] = field(default_factory=dict)
    sandbox_site: tuple[Path, ...] = ()
    probe: int = 16
    sampling: Mapping[str, Any] = field(default_factory=dict)
    passing: Passing = "any"
    summary: Path | None = None
    load_timeout_s: float = 1800.0
    telemetry_hz: float = 10.0
    baseline: Path | None = None
    gate: tuple[str, ...] = ()
    hang_timeout_s: float = 600.0


# Every option of ours: flag → what argparse is told. Data, so that "was any of them given?" is a comparison.
DECLARED: dict[str, dict[str, Any]] = {
    "registry": {"metavar": "PATH", "help": "the models.toml to read (ini: llmeval_registry)"},
    "reports": {"metavar": "DIR", "help": f"where runs are written (default: {DEFAULT_REPORTS}/)"},
    "models": {
        "action": "append",
        "default": [],
        "metavar": "GLOB",
        "help": "only models whose name matches; may be repeated, or several separated by commas",
    },
    "exclude-models": {
        "action": "append",
        "default": [],
        "metavar": "GLOB",
        "help": "leave out models whose name matches (--deselect NAME does the same for one model)",
    },
    "samples": {
        "metavar": "FILE",
        "help": "judge the answers in FILE (JSON lines with task_id and completion, solution or response) "
        "instead of asking models",
    },
    "resume": {
        "nargs": "?",
        "const": "latest",
        "metavar": "RUN",
        "help": "take over what an earlier run (a folder's name under reports/; default: the newest) has answered "
        "with the same settings, and ask only for the rest",
    },
    "problems": {
        "action": "append",
        "default": [],
        "metavar": "[SET=]FILE",
        "help": "problems of your own (JSON lines with HumanEval's fields), with a suite for them; or the data of "
        "a known set: humanevalplus=FILE, mbpp=FILE, mbppplus=FILE. May be repeated (ini: llmeval_problem_files)",
    },
    "summary": {
        "metavar": "FILE",
        "help": "write the headline and the leaderboard to FILE as Markdown, for a CI job's page; on GitHub they "
        "go to the job summary by themselves",
    },
    "limit": {"type": int, "metavar": "N", "help": "only the first N problems of each problem set"},
    "sample": {"type": int, "metavar": "N", "help": "N problems of each problem set, drawn at random"},
    "seed": {
        "type": int,
        "default": 0,
        "metavar": "S",
        "help": "seed of --llmeval-sample and of sampling (default: 0)",
    },
    "n": {
        "type": int,
        "metavar": "N",
        "help": "how many answers each model gives to each problem: overrides models.toml and the suites",
    },
    "sampling": {
        "action": "append",
        "default": [],
        "metavar": "KEY=VALUE",
        "help": "how answers are drawn, as in a `sampling` table of models.toml, may be repeated; overrides "
        "models.toml and the suites: --llmeval-n 20 --llmeval-sampling temperature=0.8",
    },
    "pass": {
        "choices": ["any", "all", "majority"],
        "default": "any",
        "help": "how many of a problem's answers must be right for its item to pass (default: any)",
    },
    "concurrency": {
        "default": "auto",
        "metavar": "N|auto",
        "help": "how many requests an engine gets at a time (default auto: all, and the engine batches them)",
    },
    "wrong": {
        "choices": ["fail", "xfail"],
        "default": "fail",
        "help": "a wrong answer is a failed test (default) or an expected failure; faults are always errors",
    },
    "strict": {
        "action": "store_true",
        "default": False,
        "help": "a model that cannot run on this machine is an error instead of a skip",
    },
    "scoring": {
        "choices": ["auto", "overlap", "after"],
        "default": "auto",
        "help": "judge answers while others are generated (overlap), or when a model has finished (after); "
        "auto: overlap on a GPU, after on a CPU engine, where both would share the cores",
    },
    "sandbox": {
        "choices": ["auto", "A", "B", "B-", "C", "require-A"],
        "default": "auto",
        "help": "isolation of generated code: auto (the strongest that proves itself), A, B, B-, require-A, "
        "or C, which is no sandbox",
    },
    "sandbox-workers": {
        "type": int,
        "metavar": "N",
        "help": "how many programs are judged side by side (default: one per core)",
    },
    "sandbox-limit": {
        "action": "append",
        "default": [],
        "metavar": "KEY=NUMBER",
        "help": f"a limit of one program, may be repeated; keys: {', '.join(SANDBOX_LIMITS)} "
        "(ini: llmeval_sandbox_limits). A wall_s given here is kept; otherwise it is fitted to this machine",
    },
    "sandbox-site": {
        "action": "append",
        "default": [],
        "metavar": "DIR",
        "help": "a package folder that judged programs may import from, may be repeated "
        "(ini: llmeval_sandbox_site); without any they have the standard library only",
    },
    "probe": {
        "default": "16",
        "metavar": "N|off",
        "help": "after a model's batch, ask N of its problems again one at a time: single-stream response time "
        "and speed (default: 16)",
    },
    "baseline": {
        "metavar": "PATH",
        "help": "judge this run against an earlier one: its folder, its results.jsonl, or a file made by "
        "python -m pytest_llmeval baseline; the gate's Findings then decide, not single wrong answers",
    },
    "gate": {
        "action": "append",
        "default": [],
        "metavar": "RULE",
        "help": "a rule of the gate over those of [gate]: KEY=VALUE (accuracy.margin=5) or a floor "
        "('pass@1 >= 0.80'); may be repeated; off: no gate",
    },
    "telemetry": {
        "default": "10",
        "metavar": "HZ|off",
        "help": "how often devices and the engine's processes are read in a second (default: 10)",
    },
    "load-timeout": {
        "type": float,
        "default": 1800.0,
        "metavar": "S",
        "help": "seconds a model may take to load before it is a fault (default: 1800)",
    },
    "hang-timeout": {
        "type": float,
        "default": 600.0,
        "metavar": "S",
        "help": "seconds a loaded engine may give no sign of life while requests wait before it is ended, which is "
        "a fault (default: 600; one step of its loop is a sign of life)",
    },
}


def declare(parser: pytest.Parser) -> None:
    """Declare every command line option and ini key; called in every pytest run, so it imports nothing."""
    group = parser.getgroup("llmeval", "model evaluation (pytest-llmeval-bench)")
    for name, told in DECLARED.items():
        group.addoption(f"--llmeval-{name}", **told)
    parser.addini("llmeval_registry", "the models.toml of this project; setting it switches the plugin on")
    parser.addini("llmeval_reports", "where runs are written", default=DEFAULT_REPORTS)
    parser.addini("llmeval_problem_files", "data of problem sets, SET=FILE a line", type="linelist")
    parser.addini("llmeval_sandbox_limits", "limits of one program, KEY=NUMBER a line", type="linelist")
    parser.addini(
        "llmeval_sandbox_site", "package folders that judged programs may import from", type="paths"
    )


def is_active(config: pytest.Config) -> bool:
    """True where this run uses us: the project names a registry, or an option of ours was given."""
    if config.getini("llmeval_registry"):
        return True
    return any(_given(config, name) != told.get("default") for name, told in DECLARED.items())


def _given(config: pytest.Config, name: str) -> Any:
    return getattr(config.option, f"llmeval_{name.replace('-', '_')}")


def read(config: pytest.Config) -> Options:
    """Turn the option bag into Options.

    Raises:
        ConfigurationError: a value makes no sense, or two contradict each other.
    """
    option = config.option
    limit, sample = option.llmeval_limit, option.llmeval_sample
    for name, value in (("limit", limit), ("sample", sample)):
        if value is not None and value < 1:
            raise ConfigurationError(f"--llmeval-{name}={value}: must be at least 1")
    if limit is not None and sample is not None:
        raise ConfigurationError(
            "--llmeval-limit and --llmeval-sample both choose problems: give one of them"
        )
    return Options(
        registry=_registry_path(config),
        reports=_path(config, option.llmeval_reports, "llmeval_reports"),
        models=_globs(option.llmeval_models),
        exclude_models=_globs(option.llmeval_exclude_models),
        samples=_given_path(config, option.llmeval_samples),
        resume=option.llmeval_resume,
        problem_files=_problem_files(config),
        limit=limit,
        sample=sample,
        seed=option.llmeval_seed,
        concurrency=_concurrency(option.llmeval_concurrency),
        wrong=option.llmeval_wrong,
        strict=option.llmeval_strict,
        scoring=option.llmeval_scoring,
        sandbox=option.llmeval_sandbox,
        sandbox_workers=option.llmeval_sandbox_workers,
        sandbox_limits=_sandbox_limits(config),
        sandbox_site=_sandbox_site(config),
        probe=_probe(option.llmeval_probe),
        sampling=_sampling(option),
        passing=option.llmeval_pass,
        summary=_given_path(config, option.llmeval_summary),
        load_timeout_s=option.llmeval_load_timeout,
        telemetry_hz=_rate(option.llmeval_telemetry),
        baseline=_baseline_path(config),
        gate=tuple(option.llmeval_gate),
        hang_timeout_s=option.llmeval_hang_timeout,
    )


def _registry_path(config: pytest.Config) -> Path:
    """The registry named on the command line (relative to where pytest was called) or in the ini file.

    Without either, the models that ship with this package.
    """
    if not config.option.llmeval_registry and not config.getini("llmeval_registry"):
        return Path(__file__).parent / "models.toml"
    path = _path(config, config.option.llmeval_registry, "llmeval_registry")
    if not path.is_file():
        raise ConfigurationError(
            f"the model registry {path} does not exist: correct --llmeval-registry, or llmeval_registry in "
            f"{config.inipath or 'the ini file'}"
        )
    return path


def _sandbox_limits(config: pytest.Config) -> dict[str, float]:
    """`KEY=NUMBER` of the ini file, then of the command line, which wins."""
    limits = {}
    for given in (*config.getini("llmeval_sandbox_limits"), *config.option.llmeval_sandbox_limit):
        key, _, value = given.partition("=")
        if key.strip() not in SANDBOX_LIMITS:
            known = ", ".join(SANDBOX_LIMITS)
            raise ConfigurationError(
                f"sandbox limit {given!r}: unknown key{suggestion(key, SANDBOX_LIMITS)}; known: {known}"
            )
        try:
            number = float(value)
        except ValueError:
            number = -1
        if not 0 <= number < float("inf"):
            raise ConfigurationError(f"sandbox limit {given!r}: must be a number, as in {key.strip()}=5")
        limits[key.strip()] = number if key.strip() == "wall_s" else int(number)
    return limits


def _sampling(option: Any) -> dict[str, Any]:
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


def _sandbox_site(config: pytest.Config) -> tuple[Path, ...]:
    """The folders of the command line, or else those of the ini file: what is declared is all there is."""
    given = [config.invocation_params.dir / name for name in config.option.llmeval_sandbox_site]
    folders = tuple(given or config.getini("llmeval_sandbox_site"))
    for folder in folders:
        if not folder.is_dir():
            where = "--llmeval-sandbox-site" if given else "llmeval_sandbox_site"
            raise ConfigurationError(f"{where}={folder}: no such folder, and programs would import from it")
    return folders


def _concurrency(given: str) -> int | None:
    if given == "auto":
        return None
    if not given.isdigit() or int(given) < 1:
        raise ConfigurationError(f"--llmeval-concurrency={given}: must be a number of requests, or auto")
    return int(given)


def _probe(given: str) -> int:
    if given == "off":
        return 0
    if not given.isdigit():
        raise ConfigurationError(f"--llmeval-probe={given}: must be a number of requests, or off")
    return int(given)


def _rate(given: str) -> float:
    if given == "off":
        return 0.0
    try:
        rate_hz = float(given)
    except ValueError:
        rate_hz = 0.0
    if not 0.1 <= rate_hz <= 1000:
        raise ConfigurationError(f"--llmeval-telemetry={given}: must be 0.1 to 1000 a second, or off")
    return rate_hz


def _problem_files(config: pytest.Config) -> tuple[ProblemFile, ...]:
    """Those of the command line, then those of the ini file for other sets."""
    ini_folder = config.inipath.parent if config.inipath else config.invocation_params.dir
    given = [_problem_file(one, config.invocation_params.dir, True) for one in config.option.llmeval_problems]
    names = {file.name for file in given}
    noted = [_problem_file(one, ini_folder, False) for one in config.getini("llmeval_problem_files")]
    return (*given, *(file for file in noted if file.name not in names))


def _problem_file(given: str, folder: Path, on_command_line: bool) -> ProblemFile:
    named = re.fullmatch(r"([A-Za-z_]\w*)=(.+)", given.strip())
    path = folder / Path(named[2] if named else given.strip()).expanduser()
    stem = path.name.partition(".")[0]
    name = named[1] if named else re.sub(r"\W", "_", stem).lower()
    if not name.isidentifier() or name in RESERVED_NAMES:
        raise ConfigurationError(
            f"--llmeval-problems {given}: {name!r} cannot name a problem set; give it another: NAME={given}"
        )
    if not path.is_file():
        raise ConfigurationError(f"--llmeval-problems {given}: {path} does not exist")
    return ProblemFile(name, path, named is not None, on_command_line)


def _given_path(config: pytest.Config, given: str | None) -> Path | None:
    """Relative to where pytest was called."""
    return config.invocation_params.dir / given if given else None


def _baseline_path(config: pytest.Config) -> Path | None:
    given = config.option.llmeval_baseline
    return Path(config.invocation_params.dir / given) if given else None


def _path(config: pytest.Config, given: str | None, ini: str) -> Path:
    if given:
        return config.invocation_params.dir / given
    # Without an ini file pytest's rootdir may be the folder of any file on the command line: not a place to write.
    base = config.inipath.parent if config.inipath else config.invocation_params.dir
    return base / str(config.getini(ini))


def _globs(values: list[Any]) -> tuple[str, ...]:
    """`["a,b", "c"]` → `("a", "b", "c")`: options may be repeated or hold a comma-separated list."""
    return tuple(part.strip() for value in values for part in str(value).split(",") if part.strip())
