"""Pages of runs that never ran."""

from __future__ import annotations

from pathlib import Path

from pytest_llmeval.report.rebuild import rebuild
from pytest_llmeval.runs import load_run
from pytest_llmeval.schema import (
    Completion,
    Outcome,
    Program,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Timing,
    Verdict,
)
from pytest_llmeval.testing.runs import write_run


def a_record(model: str, task: int, *verdicts: Verdict, text: str = "    return 1\n") -> Record:
    samples = tuple(
        Sample(
            i,
            Completion(text, "stop", 5, 20, timing=Timing(4, 0.1, 0.2, 1.0, 1.3 + task / 10)),
            Program(f"def f():\n{text}", "as it stands"),
            verdict,
        )
        for i, verdict in enumerate(verdicts)
    )
    return Record(
        model, "made_up", f"Made/{task}", Prompt(PromptStyle.COMPLETION, f"def f():\n{text}"), samples
    )


RIGHT = Verdict(Outcome.PASSED, wall_s=0.01)
WRONG = Verdict(Outcome.WRONG_ANSWER, "assert candidate(2) == 3: got 1", "printed\n")


def page_of(folder: Path, *records: Record, **manifest: object) -> Path:
    rebuild(load_run(write_run(folder, records, **manifest)))
    return folder / "report.html"
