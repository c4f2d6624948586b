"""--llmeval-devices: several engines at a time, each for itself, and items that only wait for their own Records."""

from __future__ import annotations

import importlib
import json
import os
import sys

import pytest

from pytest_llmeval.testing import FakeEngine

CORES = sorted(os.sched_getaffinity(0))[:2]
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="two core sets need two cores")
TWO_SETS = f"--llmeval-devices={','.join(map(str, CORES))}"

ENGINES = """
import threading
from concurrent.futures import Future
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.testing import FakeEngine

LOCK = threading.Lock()
PAIR = threading.Barrier(2, timeout=60)
HELD = threading.Event()
LOADING, CLOSED = threading.Event(), threading.Event()
open_now, most, closed, cores = set(), [0], [], {}

class Counted(FakeEngine):
    '''Notes how many are open at a time, and where it was placed.'''
    def load(self, progress):
        with LOCK:
            open_now.add(self.spec.name)
            most[0] = max(most[0], len(open_now))
        return super().load(progress)

    def __init__(self, spec, context):
        super().__init__(spec, context)
        cores[spec.name] = context.environ.get("PYTEST_LLMEVAL_CORES")

    def close(self):
        with LOCK:
            open_now.discard(self.spec.name)
            closed.append(self.spec.name)
        super().close()

class Paired(Counted):
    '''Loads when another one loads at the same time, and not before.'''
    def load(self, progress):
        PAIR.wait()
        return super().load(progress)

class Mute(Counted):
    '''Never answers; says so when it was asked.'''
    def submit(self, request):
        HELD.set()
        self.pending = Future()
        return self.pending

    def close(self):
        super().close()
        if hasattr(self, "pending") and not self.pending.done():
            self.pending.set_exception(EngineFault("the engine was closed"))

class LoadsThoughClosed(Counted):
    '''Is still loading when it is closed, and loads to the end.'''
    def load(self, progress):
        LOADING.set()
        assert CLOSED.wait(60)
        return super().load(progress)

    def close(self):
        super().close()
        CLOSED.set()

class AfterTheLoading(Counted):
    '''Loads when that one does.'''
    def load(self, progress):
        assert LOADING.wait(60)
        return super().load(progress)

class AfterTheMute(Counted):
    '''Answers when the mute engine was asked.'''
    def load(self, progress):
        assert HELD.wait(60)
        return super().load(progress)
"""


def entry(name: str, kind: str, **engine: object) -> str:
    settings = ", ".join(f"{key} = {json.dumps(value)}" for key, value in engine.items())
    return f'[models.{name}]\nmodel = "fake"\nkind = "staged:{kind}"\nengine = {{ {settings} }}\n'


@pytest.fixture
def side_by_side(project, pytester, monkeypatch):
    """Runs models on two core sets in this process; `engines()` is the module of their engines."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a machine with GPUs gives those instead of cores
    pytester.makepyfile(staged=ENGINES)
    pytester.syspathinsert()
    staged = importlib.import_module("staged")  # runs in this process share it

    def run(*args: str, models: dict[str, str], devices: str = TWO_SETS, limit: int = 2):
        registry = "".join(models.values())
        only = f"--llmeval-models={','.join(models)}"
        staged.PAIR.reset()
        staged.HELD.clear()
        return project(
            devices, only, f"--llmeval-limit={limit}", "--llmeval-probe=off", *args, registry=registry
        )

    return run


def engines():
    return sys.modules["staged"]


def manifest(pytester) -> dict:
    return json.loads((pytester.path / "reports/latest/manifest.json").read_text())


def test_two_load_at_a_time_never_four_and_what_they_leave_stays_apart(side_by_side, pytester, records):
    models = {name: entry(name, "Paired") for name in "abcd"}
    result = side_by_side(models=models, limit=1)
    result.assert_outcomes(passed=4)
    assert engines().most == [2]
    assert {record.model for record in records()} == set(models)
    assert set(engines().cores.values()) == {str(core) for core in CORES}
    told = manifest(pytester)["side_by_side"]
    assert told["kind"] == "cores"
    assert [seat["places"] for seat in told["models"].values()][:2] == [[str(core)] for core in CORES]
    assert "b" in told["models"]["a"]["beside"]
    for name in models:
        for left in (f"engine/{name}.log", f"telemetry/{name}.jsonl", f"telemetry/{name}.json"):
            assert (pytester.path / "reports/latest" / left).exists()
        start = (pytester.path / f"reports/latest/telemetry/{name}.jsonl").read_text().splitlines()[0]
        assert json.loads(start)["model"] == name
    summary = json.loads((pytester.path / "reports/latest/summary.json").read_text())["models"]
    assert all("core set" in note for name in models for note in summary[name]["notes"])


def test_engines_that_fail_are_nobody_elses_fault(side_by_side, pytester):
    models = {
        "broken": entry("broken", "Counted", fail_load="no such weights"),
        "a": entry("a", "Counted"),
        "dies": entry("dies", "Counted", dies_after=1),
        "b": entry("b", "Counted"),
    }
    result = side_by_side(models=models)
    result.assert_outcomes(passed=5, errors=3)
    result.stdout.fnmatch_lines(["*engine broken did not start: no such weights*"])
    summary = json.loads((pytester.path / "reports/latest/summary.json").read_text())["models"]
    told = {name: summary[name]["status"] for name in models}
    assert told == {"broken": "faulted", "a": "complete", "dies": "faulted", "b": "complete"}
    assert set(engines().closed) == set(models)


def test_exitfirst_ends_engines_that_run_beside(side_by_side, pytester):
    """`weak` fails its first item while `mute` holds its answers: -x ends both, and nothing starts that waits."""
    models = {
        "weaker": entry("weaker", "AfterTheMute", solves=0),
        "mute": entry("mute", "Mute"),
        "later": entry("later", "Counted"),
    }
    result = side_by_side("-x", models=models)
    result.assert_outcomes(failed=1)
    assert {"weaker", "mute"} <= set(engines().closed)
    assert not engines().open_now
    summary = json.loads((pytester.path / "reports/latest/summary.json").read_text())["models"]
    assert summary["mute"]["status"] == "incomplete"


def test_an_engine_that_ends_loading_after_it_was_closed_is_closed(side_by_side):
    models = {
        "weaker": entry("weaker", "AfterTheLoading", solves=0),
        "late": entry("late", "LoadsThoughClosed"),
    }
    side_by_side("-x", models=models).assert_outcomes(failed=1)
    assert not engines().open_now


INTERRUPT = """
import os, signal, threading
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    import staged
    def press():
        assert staged.HELD.wait(60)
        os.kill(os.getpid(), signal.SIGTERM)  # as Ctrl-C: test_interruption.py
    threading.Thread(target=press, daemon=True).start()
"""


def test_an_interruption_ends_all_of_them_and_keeps_what_came(side_by_side, pytester, records):
    models = {"mute": entry("mute", "Mute"), "a": entry("a", "Counted")}
    side_by_side("--collect-only", models=models)  # writes the project
    pytester.makeconftest(INTERRUPT)
    only = f"--llmeval-models={','.join(models)}"
    result = pytester.runpytest_subprocess(TWO_SETS, only, "--llmeval-limit=2", timeout=120)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert {record.model for record in records()} <= {"a"}
    summary = json.loads((pytester.path / "reports/latest/summary.json").read_text())["models"]
    assert summary["mute"]["status"] == "incomplete"


SHUFFLED = """
def pytest_collection_finish(session):
    '''Behind all hooks that group items by model: every item is of another model than the one before.'''
    session.items[:] = session.items[::2] + session.items[1::2]
    session.items.reverse()
"""
USING = "def test_uses_its_engine(engine):\n    assert engine.engine is not None\n"


def test_items_in_any_order_wait_for_their_own_and_load_nothing_twice(side_by_side, pytester):
    pytester.makeconftest(SHUFFLED)
    result = side_by_side(models={name: entry(name, "Counted") for name in "abc"})
    result.assert_outcomes(passed=6)
    assert sorted(FakeEngine.loads) == list("abc")


def test_engines_that_tests_use_do_not_hold_up_those_whose_tests_come_first(side_by_side, pytester):
    """One place, and the tests of the last model come first: the engine that waits for its tests makes room."""
    pytester.makeconftest("def pytest_collection_finish(session):\n    session.items.reverse()\n")
    pytester.makepyfile(test_using=USING)
    models = {name: entry(name, "Counted") for name in "abc"}
    result = side_by_side("test_using.py", models=models, devices=f"--llmeval-devices={CORES[0]}")
    result.assert_outcomes(passed=3)
    assert engines().most == [1]


def test_a_model_that_needs_more_than_there_is_is_skipped_with_the_reason(side_by_side):
    models = {"wide": entry("wide", "Counted", tensor_parallel_size=3), "a": entry("a", "Counted")}
    result = side_by_side("-rs", models=models)
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines(["*wide: needs 3 devices at a time; --llmeval-devices gives it 2*"])


@pytest.mark.parametrize(
    ("given", "told"),
    [("4096", "*4096 is not among the cores*"), ("0,", "*must be auto, or devices*")],
)
def test_devices_that_are_not_there_are_a_usage_error(side_by_side, given, told):
    result = side_by_side(models={"a": entry("a", "Counted")}, devices=f"--llmeval-devices={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([told])


def test_timings_are_taken_while_nobody_else_computes(side_by_side, pytester, records):
    """Both models are probed on core sets that share the machine: one after the other, when both are judged."""
    models = {name: entry(name, "Paired") for name in "ab"}
    result = side_by_side("--llmeval-probe=2", models=models)
    result.assert_outcomes(passed=4)
    a, b = (manifest(pytester)["side_by_side"]["models"][name] for name in "ab")
    assert max(a["settled_s"], b["settled_s"]) <= min(a["finishing_s"], b["finishing_s"])
    first, second = sorted((a, b), key=lambda seat: seat["finishing_s"])
    assert first["to_s"] <= second["finishing_s"]
