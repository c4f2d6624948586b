"""Beside pytest-timeout, pytest-rerunfailures and pytest-random-order: the real ones."""

from __future__ import annotations

import pytest

WATCHED = """
import time
from pathlib import Path
from pytest_llmeval.testing import FakeEngine

class Watched(FakeEngine):
    '''Takes `load_s` to load; writes down what happens to it.'''
    def load(self, progress):
        time.sleep(self._settings.get("load_s", 0))
        self.note("loaded " + self.spec.name)
        return super().load(progress)

    def submit(self, request):
        self.note(request.request_id)
        return super().submit(request)

    def reset_cache(self):
        time.sleep(self._settings.get("probe_s", 0))

    def note(self, what):
        with open("notes", "a") as notes:
            notes.write(what + "\\n")
"""
ENTRY = '[models.{name}]\nmodel = "fake"\nkind = "watched:Watched"\ncategories = ["watched"]\nengine = {{ {engine} }}\n'
ANOTHER_SUITE = """
import pytest

@pytest.mark.problems("humaneval")
def test_again(record):
    assert record.samples
"""


@pytest.fixture
def watched(project, pytester):
    """Runs the project, in a process of its own, with models of which the file `notes` tells."""
    pytester.makepyfile(watched=WATCHED)

    def run(*args: str, engine: str = "", models: int = 1, **kinds: object) -> pytest.RunResult:
        registry = "".join(ENTRY.format(name=f"timed{n}", engine=engine) for n in range(models))
        project("--collect-only", "-q", registry=registry)  # writes the project
        options = ("--llmeval-limit=3", "--llmeval-models=timed*", "--llmeval-sandbox-workers=1")
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options, *args)

    return run


@pytest.fixture
def notes(pytester):
    return lambda: (pytester.path / "notes").read_text().splitlines()


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_time_limit_does_not_run_while_an_item_waits_for_its_model(watched, method):
    result = watched("--timeout=3", f"--timeout-method={method}", engine="load_s = 4, probe_s = 4", models=1)
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*Timeout*")


def test_a_time_limit_still_holds_for_the_test_itself(watched, pytester):
    pytester.makepyfile(
        test_humaneval="""
        import time, pytest
        @pytest.mark.problems("humaneval")
        def test_endless(record):
            time.sleep(600)
        """
    )
    result = watched("--timeout=2", "--timeout-method=signal", "--llmeval-limit=1", "--llmeval-probe=off")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Timeout*2*"])


def test_reruns_ask_nothing_again(watched, notes):
    result = watched("--reruns=2", "--llmeval-probe=off", engine="solves = 1")
    result.assert_outcomes(passed=1, failed=2)
    assert "4 rerun" in result.stdout.str()
    assert notes() == ["loaded timed0", *(f"humaneval:HumanEval/{n}:0" for n in range(3))]


def test_reruns_do_not_load_a_broken_model_again(watched, notes):
    result = watched("--reruns=2", "--llmeval-limit=2", engine='fail_load = "out of patience"')
    result.assert_outcomes(errors=2)
    assert notes() == ["loaded timed0"]


@pytest.mark.parametrize("bucket", ["global", "module"])
def test_random_order_loads_each_model_once(watched, notes, pytester, bucket):
    pytester.makepyfile(test_another=ANOTHER_SUITE)
    result = watched(
        f"--random-order-bucket={bucket}", "--random-order-seed=7", "-v", "--llmeval-probe=off", models=3
    )
    result.assert_outcomes(passed=18)
    assert sorted(note for note in notes() if note.startswith("loaded")) == [
        "loaded timed0",
        "loaded timed1",
        "loaded timed2",
    ]
    assert len(notes()) == 3 + 9, "both suites are answered from the same Records"
    order = [line.split("[")[1] for line in result.outlines if "::test_" in line and "PASSED" in line]
    assert order != sorted(order)


def test_failed_first_and_several_suites_load_each_model_once(watched, notes, pytester):
    pytester.makepyfile(test_another=ANOTHER_SUITE)
    arguments = ("-p", "cacheprovider", "--llmeval-probe=off")
    watched(*arguments, engine="solves = 2", models=2).assert_outcomes(passed=10, failed=2)
    (pytester.path / "notes").unlink()
    watched(*arguments, "--ff", engine="solves = 2", models=2).assert_outcomes(passed=10, failed=2)
    assert [note for note in notes() if note.startswith("loaded")] == ["loaded timed0", "loaded timed1"]
