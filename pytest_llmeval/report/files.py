"""What a run leaves beside its page for people and for CI: report.md, a summary for a job, annotations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.report.headline import headline
from pytest_llmeval.report.leaderboard import conditions
from pytest_llmeval.report.markdown import coded, performance_table, session_report
from pytest_llmeval.report.text import fenced, safe
from pytest_llmeval.results import Status
from pytest_llmeval.runs import LoadedRun

REPORT = "report.md"
GITHUB_SUMMARY = "GITHUB_STEP_SUMMARY"  # the file whose Markdown GitHub shows on a job's page
ON_GITHUB = "GITHUB_ACTIONS"


def write_reports(run: LoadedRun, summary: Path | None, environ: Mapping[str, str] = os.environ) -> None:
    """Write report.md, and the job's summary where one is wanted: a file of the user's, or GitHub's.

    Raises:
        LLMEvalError: a file cannot be written.
    """
    _write(run.folder / REPORT, session_report(run))
    if summary is not None:
        _write(summary, job_summary(run))
    if path := environ.get(GITHUB_SUMMARY):
        _write(Path(path), job_summary(run), mode="a")  # other steps of the job write there too


def _write(path: Path, text: str, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LLMEvalError(f"{path} cannot be written: {error.strerror or error}") from error


def job_summary(run: LoadedRun) -> str:
    """The headline, the leaderboard and the faults, as Markdown."""
    reasons = "".join(f"\n{fenced(f'{m.spec.name}: {m.reason}')}\n" for m in run.models if m.reason)
    return (
        f"## Model evaluation\n\n{coded(run, headline(run))}\n\n{performance_table(run)}\n\n"
        f"{conditions(run.models, run.rule)}\n{reasons}"
    )


def github_commands(run: LoadedRun, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Workflow commands by which GitHub marks a job: one line per model that is not complete."""
    if environ.get(ON_GITHUB) != "true":
        return
    for model in run.models:
        if model.status is not Status.COMPLETE:
            level = "error" if model.status is Status.FAULTED else "warning"
            first = (
                model.reason.split("\n", 1)[0]
                or f"{model.summary.judged} of {model.selected} problems judged"
            )
            yield f"::{level} title={_escaped(f'{model.spec.name} is {model.status}')}::{_escaped(first)}"


def _escaped(text: str) -> str:
    """GitHub's own escapes: a message cannot end its line and begin a command of its own."""
    plain = safe(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return plain.replace(":", "%3A").replace(",", "%2C")
