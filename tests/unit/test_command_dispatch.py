"""`python -m pytest_llmeval`: the dispatcher imports nothing until a command is called."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pytest_llmeval import __main__ as commands
from pytest_llmeval.errors import ConfigurationError


def echo(arguments):
    if not arguments:
        raise ConfigurationError("what shall be echoed?")
    sys.stdout.write(" ".join(arguments))
    return 3


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setitem(commands.COMMANDS, "echo", commands.Command(f"{__name__}:echo", "says it again"))


def test_a_command_gets_what_follows_its_name_and_gives_the_exit_code(known, capsys):
    assert commands.main(["echo", "a", "--b"]) == 3
    assert capsys.readouterr().out == "a --b"


def test_a_users_mistake_is_one_message_and_exit_code_2(known, capsys):
    assert commands.main(["echo"]) == 2
    assert capsys.readouterr().err == "what shall be echoed?\n"


def test_an_unknown_command_is_answered_with_the_one_that_was_meant(known, capsys):
    assert commands.main(["ecko"]) == 2
    said = capsys.readouterr().err
    assert "no command 'ecko'; did you mean 'echo'?" in said
    assert "says it again" in said


def test_without_arguments_it_lists_the_commands():
    result = subprocess.run([sys.executable, "-m", "pytest_llmeval"], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stdout.startswith("usage: python -m pytest_llmeval COMMAND")


def test_words_that_a_terminal_cannot_show_are_spelled_out(tmp_path):
    (tmp_path / "models.toml").write_text('[models.mine]\nmodel = "Ünïcode/Größe"\n')
    result = subprocess.run(
        [sys.executable, "-m", "pytest_llmeval", "models"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert r"\xdcn\xefcode/Gr\xf6\xdfe" in result.stdout


def test_a_pipe_that_nobody_reads_is_no_failure_of_the_command():
    """Its exit code is that of any program in this place, and none of those that mean something here."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pytest_llmeval"]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (result.returncode, result.stderr) == (128 + 13, "")
