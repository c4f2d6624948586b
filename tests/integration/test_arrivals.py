"""What an engine's listening thread does for an answer is to store it; reading it is left to others."""

from __future__ import annotations

import threading

from pytest_llmeval import judging
from pytest_llmeval.store import read_generations

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


def test_answers_are_read_in_threads_of_their_own(project, pytester, records, monkeypatch):
    pytester.makepyfile(burst=BURST)
    pytester.syspathinsert()
    threads, extract = set(), judging.extract

    def noted(*arguments, **options):
        threads.add(threading.current_thread().name.split("_")[0])
        return extract(*arguments, **options)

    monkeypatch.setattr(judging, "extract", noted)
    registry = '[models.burst]\nmodel = "fake"\nkind = "burst:Burst"\n'
    project("--llmeval-limit=4", "--llmeval-models=burst", registry=registry).assert_outcomes(passed=4)
    assert threads == {"llmeval-judging"}
    assert len(list(read_generations(pytester.path / "reports/latest/generations.jsonl"))) == 4
