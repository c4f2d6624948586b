"""`auto` takes the strongest level that proves itself, and refuses where there is none."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from judging import ALONE, ENVIRONMENT, QUICK, judged, problem, started

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox import Executor, Level, selftest
from pytest_llmeval.sandbox.jail import seccomp
from pytest_llmeval.schema import Channel

POORER = Path(__file__).with_name("poorer.py")


def poorer(how: str, level: str, python: str = sys.executable, **more: Any) -> str:
    if platform.machine() != "x86_64":
        pytest.skip("the emulated container is written with x86_64 system call numbers")
    command = [python, str(POORER), how, level]
    environment = ENVIRONMENT | {"PYTHONDONTWRITEBYTECODE": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, **more)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_auto_takes_the_first_level_that_this_machine_grants() -> None:
    reached = started("auto")
    level = reached.isolation.level
    reached.close()
    for stronger in list(Level)[: list(Level).index(level)]:
        with pytest.raises(SandboxFault):
            Executor(stronger.value, workers=1, limits=QUICK).start()


@pytest.mark.parametrize("choice", ["auto", "require-A"])
def test_without_bubblewrap_level_a_is_made_of_namespaces_of_our_own(
    choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they can be had, and the same self-test holds; what was used is said."""
    started(ALONE).close()
    monkeypatch.setenv("PATH", "/nowhere")
    executor = Executor(choice, workers=1, limits=QUICK)
    executor.start()
    isolation = executor.isolation
    executor.close()
    assert (isolation.level, isolation.means) == ("A", "own namespaces")
    assert isolation.proven == selftest.PROMISES
    assert str(isolation).startswith("level A by own namespaces")


@pytest.mark.parametrize(("how", "means"), [("as it is", "bubblewrap"), ("no bwrap", "own namespaces")])
def test_an_ordinary_user_gets_level_a_either_way(how: str, means: str) -> None:
    started(ALONE if how == "no bwrap" else "A").close()
    more: dict[str, Any] = {}
    python = sys.executable
    if os.geteuid() == 0:
        python = "/usr/bin/python3"
        nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
        can_run = [python, "-c", "import pytest_llmeval.sandbox"]
        if not Path(python).exists() or subprocess.run(can_run, env=ENVIRONMENT, **nobody).returncode:
            pytest.skip("no other user can run an interpreter that reads this package here")
        more = nobody
    answer = poorer(how, "auto", python, **more)
    if answer.startswith("B"):
        pytest.skip("only root may make user namespaces here")
    assert answer == f"A passed missing=() by {means}\n"


def test_without_user_namespaces_auto_takes_landlock_and_says_what_is_missing() -> None:
    started("B").close()
    assert poorer("container", "auto").startswith("B passed missing=('tmp',) by Landlock and seccomp")


def test_require_a_accepts_nothing_less() -> None:
    answer = poorer("container", "require-A")
    assert answer.startswith("refused: ")
    assert "asked for: require-A" in answer


def test_with_nothing_available_it_refuses_and_names_the_flag() -> None:
    answer = poorer("nothing", "auto")
    assert answer.startswith("refused: ")
    assert all(f"{level}:" in answer for level in ("A", "B", "B-"))
    assert "--llmeval-sandbox=C" in answer
    assert poorer("nothing", "C").startswith("C passed")


@pytest.mark.parametrize("promise", ["network", "write", "processes"])
def test_a_level_that_breaks_a_promise_is_not_taken(promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-test decides: here it is made to expect what no level can do."""
    started("auto").close()
    monkeypatch.setitem(selftest._PROBES, promise, "assert False")
    with pytest.raises(SandboxFault, match=f"the self-test broke: {promise}"):
        Executor("auto", workers=1, limits=QUICK).start()


def test_the_self_test_does_not_take_the_number_of_a_sample_for_somebody_elses() -> None:
    """In a container pytest's own number is small, and at level A samples count from 2."""
    executor = started("auto")
    attack = selftest._REFUSED + selftest._PROBES["signals"].format(parent="os.getpid()")
    verdict = judged(executor, attack, problem("pass", channel=Channel.INLINE, entry_point="refused"))
    executor.close()
    assert verdict.passed, verdict


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("level", ["A", "B", "B-"])
def test_filters_fit_the_kernel_and_jump_inside_themselves(level: str, machine: str) -> None:
    filters = [seccomp.zygote_filter(level, machine)]
    filters += [seccomp.sample_filter(level, machine, allow) for allow in (True, False)]
    for code in filters:
        instructions = [code[n : n + 8] for n in range(0, len(code), 8)]
        assert len(instructions) < 4096
        for index, instruction in enumerate(instructions):
            if instruction[0] & 7 == 5:  # a jump
                furthest = max(instruction[2], instruction[3])
                assert index + 1 + furthest < len(instructions)
        assert instructions[-1][0] == 0x06


def test_system_call_numbers_are_unique_on_each_machine() -> None:
    for column in (0, 1):
        numbers = [pair[column] for pair in seccomp.NUMBERS.values() if pair[column] is not None]
        assert len(numbers) == len(set(numbers))
