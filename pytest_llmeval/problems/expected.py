"""What a canonical solution answers, and how long it takes: found out once, in the sandbox, and kept on disk.

EvalPlus publishes inputs without answers, and its limits depend on what the canonical solution needs.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pytest_llmeval.problems.generated import measuring_source, with_expected
from pytest_llmeval.schema import Channel, Problem, Program
from pytest_llmeval.units import MIB

ANSWER_BYTES = 15 * MIB  # a larger answer cannot cross to the tests: its case is left out
ANSWERS_BYTES = 16 * MIB  # beyond, answers are computed beside the tests each time instead of being kept

# EvalPlus's limits (evalplus/config.py and eval/__init__.py at 26d6d00), each kept at its factor here.
CALL_S = 4.0
FACTOR = 4.0
SAMPLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each case; the text of the right answers but for those `left_out`, None where too much."""

    seconds: tuple[float, ...]
    expected: str | None
    left_out: tuple[int, ...] = ()


def measuring(problem: Problem) -> tuple[Program, Problem]:
    """What must be judged, with much memory and output allowed, to see what the canonical solution answers."""
    source = measuring_source(problem.test, problem.entry_point, ANSWER_BYTES, ANSWERS_BYTES)
    task = replace(
        problem,
        prompt="",
        entry_point="measure",
        test="def check(candidate):\n    candidate()\n",
        channel=Channel.INLINE,
    )
    return Program(source, "canonical"), task


def read_measured(output: str) -> Measured:
    """What the measuring program printed.

    Raises:
        ValueError: it printed something else.
    """
    seconds, answers, left_out = [], [], []
    for index, line in enumerate(output.splitlines()):
        status, took, answer = line.split(" ", 2)
        seconds.append(float(took))
        if status == "answer":
            answers.append(answer)
        else:
            left_out.append(index)
    expected = f"[{','.join(answers)}]" if all(answers) else None
    return Measured(tuple(seconds), expected, tuple(left_out))


def completed(problem: Problem, measured: Measured) -> Problem:
    """The problem with all its tests need, and with EvalPlus's limits: of each call, and of the sample."""
    test = problem.test
    if problem.measures == "answers":
        test = with_expected(test, measured.expected, measured.left_out)
    limits = [max(CALL_S, FACTOR * seconds) for seconds in measured.seconds]
    return replace(
        problem,
        test=test,
        measures="nothing",
        call_s=max(limits, default=CALL_S),
        wall_s=max(min(SAMPLE_S, sum(limits)), FACTOR * sum(measured.seconds)),
    )


class Kept:
    """What was measured before, a file per problem and interpreter; a folder that cannot be used is done without."""

    def __init__(self, folder: Path, interpreter: str) -> None:
        self._folder = folder
        self._interpreter = interpreter

    def load(self, problem: Problem) -> Measured | None:
        try:
            with gzip.open(self._path(problem), "rt", encoding="ascii") as file:
                found = json.load(file)
            return Measured(tuple(found["seconds"]), found["expected"], tuple(found["left_out"]))
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            return None

    def save(self, problem: Problem, measured: Measured) -> None:
        path = self._path(problem)
        unfinished = path.with_suffix(f".{id(measured)}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(unfinished, "wt", encoding="ascii", compresslevel=1) as file:
                json.dump(asdict(measured), file)
            unfinished.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()

    def _path(self, problem: Problem) -> Path:
        parts = (self._interpreter, problem.entry_point, problem.test, str(ANSWER_BYTES), str(ANSWERS_BYTES))
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return self._folder / f"{digest}.json.gz"
