"""Is what `make demo` left what its README promises? Exit 1 names what is not."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from pytest_llmeval.gate.commands import gate
from pytest_llmeval.store import read_records

PROBLEMS = 164
WHOLE = ("complete", "degraded")  # the embedded model rambles on now and then: that is told, and no mistake
MODELS = ("tiny_coder", "tiny_coder_hot")


def findings(run: Path) -> list[str]:
    """Everything that is missing or wrong in a demo's run folder."""
    missing = [
        f"{name} is missing"
        for name in ("report.html", "results.jsonl", "summary.json", "manifest.json")
        if not (run / name).is_file()
    ]
    if missing:
        return missing
    return [*_about_records(run), *_about_summary(run), *_about_page(run), *_about_gate(run)]


def _about_records(run: Path) -> list[str]:
    count = len({(record.model, record.task_id) for record in read_records(run / "results.jsonl")})
    return [] if count == PROBLEMS * len(MODELS) else [f"results.jsonl holds {count} different Records"]


def _about_summary(run: Path) -> list[str]:
    models = json.loads((run / "summary.json").read_text())["models"]
    wrong = []
    for name in MODELS:
        figures = models[name]["figures"]
        if models[name]["status"] not in WHOLE:
            wrong.append(f"{name} is {models[name]['status']}: {models[name]['reason']}")
        if not 0 < figures["solved"] < PROBLEMS:
            wrong.append(f"{name} solved {figures['solved']}: a demo has right and wrong answers")
        if not figures["single_stream"]["response_s"] or not figures["batch_tok_s"]:
            wrong.append(f"{name} has no timings")
    return wrong


def _about_page(run: Path) -> list[str]:
    page = (run / "report.html").read_text(encoding="utf-8")
    wanted = ("Leaderboard", *MODELS, "has_close_elements")
    return [f"report.html does not mention {text}" for text in wanted if text not in page]


def _about_gate(run: Path) -> list[str]:
    """Held against itself nothing is worse; held against the greedy entry, the hot one's losses are named."""
    itself, said = _judged(run)
    wrong = [] if itself == 0 and "regressed" not in said else [f"against itself the run is worse: {said}"]
    _, said = _judged(run, 'compare.tiny_coder_hot="tiny_coder"')
    return wrong if "newly failed: HumanEval/" in said else [*wrong, f"the gate names no loss: {said}"]


def _judged(run: Path, *rules: str) -> tuple[int, str]:
    """Exit code and words of the gate, by its default rules and these."""
    with redirect_stdout(StringIO()) as said:
        code = gate([str(run), "--baseline", str(run), *(f"--rule={rule}" for rule in rules)])
    return code, said.getvalue()


if __name__ == "__main__":
    problems = findings(Path(sys.argv[1]))
    for problem in problems:
        print(f"demo: {problem}", file=sys.stderr)
    sys.exit(bool(problems))
