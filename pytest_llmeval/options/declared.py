"""Every option and ini key, as data: what argparse is told, and whether any was given."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import pytest

# What an older one of each does, tried: pytest 8.2 loads models more than once, and under 8.3 and 8.4 the gate's wrong
# answers are no expected failures. The numbers also stand in pyproject.toml and in requirements/oldest.txt.
OLDEST = {
    "pytest": ("9.0", "models load more than once, or wrong answers fail a gated run"),
    "pytest-benchmark": ("5.3.1", "under pytest 9.2 every item that asks for its fixture is an error"),
}
DEFAULT_REPORTS = "reports"
# What --llmeval-sandbox-limit can set: the fields of sandbox.Limits, which this module must not import.
SANDBOX_LIMITS = (
    *("wall_s", "cpu_s", "memory_bytes", "processes", "threads", "file_bytes", "tmp_bytes", "open_files"),
    *("output_bytes", "output_kept_bytes"),
)

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
    "predictions": {
        "choices": ["all", "failed", "none"],
        "default": "all",
        "help": "of which items a file for people is written to predictions/ (default: all); results.jsonl always "
        "holds every answer",
    },
    "compress": {
        "choices": ["zstd"],
        "default": None,
        "help": "write results.jsonl as results.jsonl.zst (needs the extra zstd); everything here reads both",
    },
    "shard": {
        "metavar": "I/N",
        "help": "only the I-th of N parts of the selected problems, for N jobs or machines; "
        "python -m pytest_llmeval report RUN RUN ... makes one run of their runs",
    },
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
        "auto: overlap, except where an engine computes on all cores of this machine",
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
    "ray": {
        "metavar": "auto|HOST:PORT",
        "help": "judge programs and run engines on a Ray cluster: the one at HOST:PORT, or (auto) one that is found, "
        "or else one that is started on this machine for the run (extra: ray)",
    },
    "devices": {
        "metavar": "auto|LIST",
        "help": "run several models side by side, each on devices of its own: 0,1,2,3 (as nvidia-smi counts, or "
        "UUIDs) or auto, all that are visible. Without a GPU, on sets of cores: 0,1 are two of one core, 0-3,4-7 "
        "two of four",
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


def is_too_old(package: str, version: str) -> bool:
    """Is this version of pytest or pytest-benchmark older than what works?"""
    return _numbers(version) < _numbers(OLDEST[package][0])


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 9.1.0.dev12 → 9, 1, 0."""
    return tuple(int(part) for part in takewhile(str.isdecimal, version.split(".")))


def declare(parser: pytest.Parser) -> None:
    """Declare every command line option and ini key; called in every pytest run, so it imports nothing."""
    group = parser.getgroup(
        "llmeval",
        "model evaluation (pytest-llmeval-bench): what models are asked, how answers are judged, what fails the run",
    )
    for name, told in DECLARED.items():
        group.addoption(f"--llmeval-{name}", **told)
    parser.addini("llmeval_registry", "the models.toml of this project; setting it switches the plugin on")
    parser.addini("llmeval_reports", "where runs are written", default=DEFAULT_REPORTS)
    parser.addini("llmeval_problem_files", "data of problem sets, SET=FILE a line", type="linelist")
    parser.addini("llmeval_sandbox_limits", "limits of one program, KEY=NUMBER a line", type="linelist")
    parser.addini(
        "llmeval_sandbox_site", "package folders that judged programs may import from", type="paths"
    )


# What pytest shows in the place of running a test; under some of them it goes through the items all the same.
ONLY_SHOWS = (
    "help",
    "markers",
    "showfixtures",
    "show_fixtures_per_test",
    "cacheshow",
    "collectonly",
    "setupplan",
)


def only_shows(config: pytest.Config) -> bool:
    """True where pytest lists something and runs no test: nothing is started and nothing written then."""
    return any(getattr(config.option, name, None) for name in ONLY_SHOWS)


def is_active(config: pytest.Config) -> bool:
    """True where this run uses us: the project names a registry, or an option of ours was given."""
    if config.option.help:
        return False  # help is there also where models.toml holds mistakes
    if config.getini("llmeval_registry"):
        return True
    return any(_given(config, name) != told.get("default") for name, told in DECLARED.items())


def _given(config: pytest.Config, name: str) -> Any:
    return getattr(config.option, f"llmeval_{name.replace('-', '_')}")
