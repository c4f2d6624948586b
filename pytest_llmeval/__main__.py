"""`python -m pytest_llmeval COMMAND`: each command is a function, imported when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import NamedTuple

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.extensions import suggestion
from pytest_llmeval.printable import printed

USAGE_ERROR = 2
# What a shell shows of a program that a signal ended: SIGINT, and SIGPIPE, which Python turns into an exception.
INTERRUPTED = 128 + 2
UNREAD = 128 + 13


class Command(NamedTuple):
    """`target` is the "module:function" that takes the arguments after the command's name → exit code."""

    target: str
    says: str


COMMANDS: dict[str, Command] = {
    "doctor": Command(
        "pytest_llmeval.commands.doctor:main", "what this machine can evaluate, and what is missing"
    ),
    "models": Command("pytest_llmeval.commands.listing:main", "the registry as a table"),
    "init": Command(
        "pytest_llmeval.commands.init:main", "a starter registry, suites and CI file for a project"
    ),
    "fetch": Command("pytest_llmeval.problems.fetch:main", "bring problem sets from the hub to this machine"),
    "baseline": Command(
        "pytest_llmeval.gate.commands:baseline", "make a compact baseline of a run, to commit"
    ),
    "calibrate": Command(
        "pytest_llmeval.gate.commands:calibrate", "repeat a run, so that speeds can be judged"
    ),
    "power": Command("pytest_llmeval.gate.commands:power_of", "how large a drop a baseline lets you see"),
    "gate": Command("pytest_llmeval.gate.commands:gate", "judge a run that is over"),
    "report": Command(
        "pytest_llmeval.report.rebuild:command", "make the reports of a run anew, or of several as one"
    ),
    "compare": Command("pytest_llmeval.report.compare:command", "a page that sets runs side by side"),
}


def program() -> int:
    """`main` as a process of its own: its output may go to a terminal that knows ASCII alone, or be read by nobody."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123  # closed before we began (`>&-`)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return main(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes once more when it ends
        return UNREAD
    except KeyboardInterrupt:
        return INTERRUPTED


def main(arguments: Sequence[str]) -> int:
    """Run one command; a mistake of the user is one message and exit code 2."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        sys.stdout.write(overview())
        return 0
    try:
        return run(name, rest)
    except LLMEvalError as error:
        sys.stderr.write(f"{printed(str(error))}\n")
        return USAGE_ERROR


def run(name: str, arguments: Sequence[str]) -> int:
    """Import a command and call it.

    Raises:
        LLMEvalError: there is no such command, or it cannot do what it was asked.
    """
    if name not in COMMANDS:
        raise LLMEvalError(f"no command {name!r}{suggestion(name, COMMANDS)}\n\n{overview()}")
    module, _, function = COMMANDS[name].target.partition(":")
    code: int = getattr(import_module(module), function)(arguments)
    return code


def overview() -> str:
    width = max(map(len, COMMANDS), default=0)
    lines = [f"  {name:{width}}  {command.says}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: python -m pytest_llmeval COMMAND [--help | ...]", "", *lines, ""])


if __name__ == "__main__":
    sys.exit(program())
