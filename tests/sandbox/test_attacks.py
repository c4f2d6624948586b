"""What hostile programs get at each level: no pass, no change outside, no survivor, no effect on the next."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from attacks import CRASHES, ESCAPES, FORGERIES, HANGS, NUMBER, PAIR, PROLOGUE
from judging import QUICK, SQUARE, judged, problem, still_judges

from pytest_llmeval.sandbox import Executor
from pytest_llmeval.schema import Channel, Outcome

REFUSED = problem("got = candidate(0)\nassert got == 'refused'")
BRIEF = replace(QUICK, wall_s=0.4)
CANARY = "alive"


@dataclass(frozen=True)
class Canary:
    """What attacks aim at, and how it looked before."""

    directory: Path
    values: dict[str, object]

    def is_untouched(self) -> bool:
        file = self.directory / "canary"
        state = file.stat()
        names = sorted(path.name for path in self.directory.iterdir())
        return (
            file.read_text() == CANARY
            and state.st_mode & 0o777 == 0o666
            and names == ["canary", "letters", "socket"]
        )


@pytest.fixture(scope="session")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    """A world-writable file that only the sandbox keeps away, and sockets that nobody should reach."""
    directory = tmp_path_factory.mktemp("canary")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o777)
    file = directory / "canary"
    file.write_text(CANARY)
    file.chmod(0o666)
    abstract = f"\0llmeval-canary-{os.getpid()}"
    with (
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as hidden,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as letters,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hidden_letters,
    ):
        tcp.bind(("127.0.0.1", 0))
        unix.bind(str(directory / "socket"))
        hidden.bind(abstract)
        letters.bind(str(directory / "letters"))
        (directory / "letters").chmod(0o777)
        hidden_letters.bind(abstract + "-letters")
        for listener in (tcp, unix, hidden):
            listener.listen(8)
        os.environ["LLMEVAL_SECRET"] = "token"
        yield Canary(
            directory,
            {
                "port": tcp.getsockname()[1],
                "unix": str(directory / "socket"),
                "abstract": abstract,
                "letters": str(directory / "letters"),
                "hidden_letters": abstract + "-letters",
                "canary": str(file),
                "dir": str(directory),
                "package": __file__,
                "home": str(Path.home()),
                "cwd": str(Path.cwd()),
                "pid": os.getpid(),
            },
        )
        del os.environ["LLMEVAL_SECRET"]


def children() -> set[psutil.Process]:
    """The processes that descend from this one."""
    return set(psutil.Process().children(recursive=True))


def survivors(before: set[psutil.Process]) -> set[psutil.Process]:
    """What was started since and is still there; a checker may take a moment to leave."""
    for _ in range(1200):
        if not children() - before:
            return set()
        time.sleep(0.05)
    return children() - before


def as_function(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"def f(_):\n{lines}\n"


@pytest.mark.parametrize("name", ESCAPES)
def test_escape_is_refused(isolated: Executor, canary: Canary, name: str) -> None:
    """Every level keeps in what it promises to keep in, and says so by the candidate's own account."""
    levels, body = ESCAPES[name]
    if isolated.isolation.level not in levels:
        pytest.skip(f"level {isolated.isolation.level} does not promise this: docs/sandbox.md")
    if "number(" in body and platform.machine() != "x86_64":
        pytest.skip("the attack is written with x86_64 system call numbers")
    before = children()
    source = NUMBER + PROLOGUE + PAIR + as_function(body.format_map(canary.values))
    verdict = judged(isolated, source, REFUSED)
    assert verdict.passed, verdict
    assert canary.is_untouched()
    assert not survivors(before)
    assert isolated.respawns == 0


@pytest.mark.parametrize("victim", ["os.getppid()", "1", "-1", "0", "{pid}"])
@pytest.mark.parametrize("number", [9, 15, 19])
def test_nobody_else_can_be_signalled(isolated: Executor, canary: Canary, victim: str, number: int) -> None:
    """Whatever a sample kills, only the sample is gone."""
    target = victim.format_map(canary.values)
    before = children()
    body = f"import os\ntry:\n    os.kill({target}, {number})\nexcept OSError:\n    pass\nreturn 'survived'"
    verdict = judged(isolated, as_function(body), REFUSED, BRIEF)
    assert not verdict.passed
    assert not verdict.outcome.is_fault
    assert still_judges(isolated)
    assert not survivors(before)
    assert isolated.respawns == 0


def test_no_signal_reaches_the_zygote(isolated: Executor) -> None:
    """Not even those that an interpreter handles unless it is told otherwise: a failure would become a fault."""
    body = (
        "import os, signal\nfor number in range(1, 65):\n"
        "    try: signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "    for victim in (1, os.getppid()):\n"
        "        try: os.kill(victim, number)\n        except OSError: pass\nreturn 'refused'"
    )
    assert judged(isolated, as_function(body), REFUSED).passed
    assert still_judges(isolated)
    assert isolated.respawns == 0


def test_a_sample_that_puts_its_channel_into_the_channel_is_no_fault(protected: Executor) -> None:
    """Its end would outlive it there, and the checker would write to nobody for ever."""
    body = "candidate(list(range(400_000)))\n" * 2
    keep = (
        "import array, os, socket\ns = socket.socket(fileno=3)\n"
        "try: s.sendmsg([b'x'], [(1, 1, array.array('i', [3]))])\n"
        "finally: os._exit(0)\ndef f(x): return x"
    )
    verdict = judged(protected, keep, problem(body))
    assert verdict.outcome == Outcome.KILLED
    assert protected.respawns == 0


def test_a_call_cannot_end_the_loop_that_makes_it(protected: Executor) -> None:
    """`map` takes a StopIteration of the function for its own end, and `all` of nothing is true."""
    task = problem("assert all(map(lambda x: candidate(x) == x * x, range(3)))")
    verdict = judged(protected, "def f(x): raise StopIteration", task)
    assert (verdict.outcome, verdict.detail) == (Outcome.EXCEPTION, "StopIteration")


@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_does_not_pass(protected: Executor, name: str) -> None:
    """Nothing but the right answers passes, and no program can turn its failure into a fault."""
    verdict = judged(protected, FORGERIES[name])
    assert not verdict.passed
    assert not verdict.outcome.is_fault
    assert verdict.detail
    assert still_judges(protected)


@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_does_not_reach_a_checker_that_lives_on(protected: Executor, name: str) -> None:
    """Samples that share a checker with a forgery are judged as if alone."""
    sources = ["def f(x): return x * x", FORGERIES[name], "def f(x): return x * x", "def f(x): return 8"] * 2
    futures = [protected.submit(program, SQUARE) for program in map(_program, sources)]
    outcomes = [future.result(300).outcome for future in futures]
    assert [outcome is Outcome.PASSED for outcome in outcomes] == [True, False, True, False] * 2
    assert outcomes[3] == outcomes[7] == Outcome.WRONG_ANSWER


def _program(source: str) -> object:
    from pytest_llmeval.schema import Program

    return Program(source, "test")


@pytest.mark.parametrize("name", HANGS)
def test_hang_is_a_timeout(protected: Executor, name: str) -> None:
    verdict = judged(protected, as_function(HANGS[name]), SQUARE, BRIEF)
    assert verdict.outcome == Outcome.TIMEOUT, verdict
    assert still_judges(protected)


@pytest.mark.parametrize("name", CRASHES)
def test_crash_is_named(protected: Executor, name: str) -> None:
    expected, body = CRASHES[name]
    verdict = judged(protected, as_function(body))
    assert verdict.outcome.value in expected, verdict
    assert still_judges(protected)
    assert protected.respawns == 0


def test_files_do_not_reach_the_next_sample(isolated: Executor) -> None:
    """Neither contents nor names nor the directory's own attributes."""
    leave = as_function(
        "import os\ntry:\n    os.mkdir('/tmp/left')\n    os.chmod('/tmp/left', 0)\n"
        "    open('/tmp/file', 'w').close()\n    os.chmod('/tmp', 0)\nexcept OSError: pass\nreturn 'refused'"
    )
    look = as_function("import os\nreturn 'refused' if not os.path.exists('/tmp/left') else 'found'")
    assert judged(isolated, leave, REFUSED).passed
    assert judged(isolated, look, REFUSED).passed
    if isolated.isolation.level == "A":
        write = as_function("open('/tmp/again', 'w').write('x')\nreturn 'refused'")
        assert judged(isolated, write, REFUSED).passed


def test_patches_do_not_reach_the_next_sample(isolated: Executor) -> None:
    judged(isolated, "import math, builtins\nmath.pi = 3\nbuiltins.len = None\ndef f(x): return x")
    assert judged(isolated, "import math\ndef f(x): return len('x' * (x * x)) if math.pi > 3 else 0").passed


# Neither spells what it looks for: the compiler would join a sum of constants.
LOOKS_AROUND = """
import gc, sys
def f(_):
    seen, frame = [gc.get_objects()], sys._getframe()
    while frame:
        seen.append(frame.f_locals)
        frame = frame.f_back
    return 'found' if '-'.join(['LEFT', 'BEHIND']) in str(seen) else 'refused'
"""
LOOKS_INTO_MEMORY = """
import ctypes
def f(_):
    libc = ctypes.CDLL(None)
    libc.sbrk.restype, libc.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_long]
    heap = ctypes.string_at(libc.sbrk(0) - 1_000_000, 1_000_000)
    return 'found' if b'-'.join([b'LEFT', b'BEHIND']) in heap else 'refused'
"""


@pytest.mark.parametrize("look", [LOOKS_AROUND, LOOKS_INTO_MEMORY], ids=["objects", "memory"])
@pytest.mark.parametrize(
    "left", ["# LEFT-BEHIND\n", "print('LEFT-BEHIND\\n' * 999)\n"], ids=["source", "output"]
)
def test_nothing_of_a_sample_is_left_in_the_memory_of_the_next(
    protected: Executor, look: str, left: str
) -> None:
    """Or a wrong program could look for the right one of another and run it."""
    for channel in Channel:
        task = replace(SQUARE, channel=channel)
        assert judged(protected, left * 99 + "def f(x): return x * x\n", task).passed
        assert judged(protected, look, REFUSED).passed


def test_processes_are_killed_where_they_are_allowed(strongest: Executor) -> None:
    """At level A a sample may be granted processes; none outlives it, daemons and bombs included."""
    if strongest.isolation.level != "A":
        pytest.skip("only level A grants processes")
    allowed = replace(QUICK, processes=16)
    before = children()
    daemon = as_function(
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(1000)\n"
        "    os._exit(0)\nreturn 'refused'"
    )
    bomb = as_function(
        "import os\nfor _ in range(40):\n    try:\n        os.fork()\n    except OSError:\n        break\n"
        "import time\ntime.sleep(1000)"
    )
    assert judged(strongest, daemon, REFUSED, allowed).passed
    assert judged(strongest, bomb, REFUSED, replace(allowed, wall_s=0.5)).outcome == Outcome.TIMEOUT
    assert not survivors(before)
    assert still_judges(strongest)
