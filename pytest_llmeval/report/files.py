"""What a run leaves beside its page for people and for CI: report.md, a summary for a job, annotations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.gate.findings import Conclusion
from pytest_llmeval.printable import printed
from pytest_llmeval.report.headline import headline
from pytest_llmeval.report.leaderboard import conditions
from pytest_llmeval.report.markdown import performance_table, session_report
from pytest_llmeval.report.text import code, fenced
from pytest_llmeval.report.verdict import Verdict, read, verdict_markdown, verdict_summary
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import Status

REPORT = "report.md"
GITHUB_SUMMARY = "GITHUB_STEP_SUMMARY"  # the file whose Markdown GitHub shows on a job's page
ON_GITHUB = "GITHUB_ACTIONS"


def write_reports(run: LoadedRun, summary: Path | None, environ: Mapping[str, str] = os.environ) -> None:
    """Write report.md, and the job's summary where one is wanted: a file of the user's, or GitHub's.

    Raises:
        LLMEvalError: a file cannot be written.
    """
    write(run.folder / REPORT, session_report(run))
    if summary is not None:
        write(summary, job_summary(run))
    if path := environ.get(GITHUB_SUMMARY):
        write(Path(path), job_summary(run), mode="a")  # other steps of the job write there too


def write(path: Path, text: str, mode: str = "w") -> None:
    """Write a report's text, or append it.

    Raises:
        LLMEvalError: the file cannot be written.
    """
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LLMEvalError(f"{path} cannot be written: {error.strerror or error}") from error


def job_summary(run: LoadedRun) -> str:
    """The headline, the leaderboard, the faults and the gate's verdict, as Markdown."""
    verdict = verdict_markdown(run, "###")
    reasons = "".join(f"\n{fenced(f'{m.spec.name}: {m.reason}')}\n" for m in run.models if m.reason)
    first = "\n\n".join([headline(run, code), *verdict_summary(run)])
    return (
        f"## Model evaluation\n\n{first}\n\n{performance_table(run)}\n\n"
        f"{conditions(run.models, run.rule)}\n{reasons}" + (f"\n{verdict}\n" if verdict else "")
    )


def github_commands(run: LoadedRun, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Workflow commands by which GitHub marks a job: a line per model that is not complete, and per Finding that fails,
    or is undecided where the user wants a warning."""
    if environ.get(ON_GITHUB) != "true":
        return
    yield from _about_models(run)
    if verdict := read(run.folder):
        yield from _about_findings(verdict)


def _about_models(run: LoadedRun) -> Iterator[str]:
    for model in run.models:
        if model.status is not Status.COMPLETE:
            level = "error" if model.status is Status.FAULTED else "warning"
            counted = f"{model.summary.judged} of {model.selected} problems judged"
            first = model.reason.split("\n", 1)[0] or counted
            yield _annotation(level, f"{model.spec.name} is {model.status}", first)


def _about_findings(verdict: Verdict) -> Iterator[str]:
    for finding in verdict.telling:
        title = f"{finding.model} {finding.rule}: {finding.conclusion.replace('_', ' ')}"
        if verdict.fails(finding):
            yield _annotation("error", title, "\n".join((finding.says, *finding.details)))
        elif finding.conclusion is Conclusion.INCONCLUSIVE and verdict.inconclusive == "warn":
            yield _annotation("warning", title, finding.says)


def _annotation(level: str, title: str, message: str) -> str:
    """GitHub reads back different escapes in a property and in a message."""
    return f"::{level} title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(message)}"


def _escaped(text: str) -> str:
    """GitHub's own escapes: a message cannot end its line and begin a command of its own."""
    return printed(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
