"""What an engine's thread does for an answer is to keep it, what a sandbox's does is to judge it; no more."""

from __future__ import annotations

import json
import os
import threading

import pytest

from pytest_llmeval.pipeline import judging
from pytest_llmeval.pipeline.exact_match import CanonicalSolution
from pytest_llmeval.store import RunStore, read_generations

BURST = """
import threading
from concurrent.futures import Future
from pytest_llmeval.testing import FakeEngine

class Burst(FakeEngine):
    '''Answers from a thread of its own, as a host's listener does.'''
    def submit(self, request):
        answered, future = super().submit(request), Future()
        threading.Thread(target=lambda: future.set_result(answered.result()), name="listener").start()
        return future
"""


def threads_of(monkeypatch, owner, name):
    """The names of the threads that will call `name` of `owner`, without their numbers."""
    threads, original = set(), getattr(owner, name)

    def noted(*arguments, **options):
        threads.add(threading.current_thread().name.split("_")[0])
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, noted)
    return threads


def test_answers_are_read_and_stored_in_threads_of_their_own(project, pytester, records, monkeypatch):
    pytester.makepyfile(burst=BURST)
    pytester.syspathinsert()
    reading = threads_of(monkeypatch, judging, "extract")
    comparing = threads_of(monkeypatch, CanonicalSolution, "equals")
    storing = threads_of(monkeypatch, RunStore, "append")
    registry = '[models.burst]\nmodel = "fake"\nkind = "burst:Burst"\n'
    project("--llmeval-limit=4", "--llmeval-models=burst", registry=registry).assert_outcomes(passed=4)
    assert reading == {"llmeval-judging"}
    assert comparing == storing == {"llmeval-storing"}
    assert len(list(read_generations(pytester.path / "reports/latest/generations.jsonl"))) == 4


HERE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("facts", "options", "expected"),
    [
        ('platform = "cuda", processors = 99', (), "overlap"),
        ('platform = "cpu", processors = 1', (), "overlap" if HERE > 1 else "after"),
        (f'platform = "cpu", processors = {HERE}', (), "after"),
        ('platform = "cpu"', (), "after"),
        ('platform = "cpu", processors = 1', ("--llmeval-devices=auto",), "after"),
        (f'platform = "cpu", processors = {HERE}', ("--llmeval-scoring=overlap",), "overlap"),
    ],
)
def test_answers_are_judged_beside_an_engine_that_leaves_cores_free(
    project, pytester, facts, options, expected
):
    registry = f'[models.one]\nextends = "good"\nengine.facts = {{ {facts} }}\n'
    asked = ("--llmeval-limit=2", "--llmeval-models=one", "--llmeval-probe=off")
    project(*asked, *options, registry=registry).assert_outcomes(passed=2)
    manifest = json.loads((pytester.path / "reports/latest/manifest.json").read_text())
    assert manifest["scored"] == {"one": expected}
