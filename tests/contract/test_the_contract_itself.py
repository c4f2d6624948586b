"""Contract tests are worth something where engines that break a promise fail the test of that promise."""

from __future__ import annotations

import pytest

ENGINES = '''
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from pytest_llmeval.testing import FakeEngine


class Honest(FakeEngine):
    pass


class Mixes(FakeEngine):
    """Answers what was asked before."""

    def submit(self, request):
        if request.prompt.text not in self._problems:
            return super().submit(request)
        before, self.before = getattr(self, "before", request), request
        return super().submit(before)


class Zeroes(FakeEngine):
    def _completion(self, request):
        return replace(super()._completion(request), prompt_tokens=0)


class Raises(FakeEngine):
    def load(self, progress):
        if self.spec.engine:
            raise RuntimeError("no weights")
        return super().load(progress)


class Forgets(FakeEngine):
    """Leaves everyone waiting who asks after it was closed."""

    def submit(self, request):
        return Future() if self._closed else super().submit(request)


class Stumbles(FakeEngine):
    """Where nobody waits for an answer, the next one is lost as well."""

    def __init__(self, spec, context):
        super().__init__(spec, context)
        self._waiting = queue.SimpleQueue()
        threading.Thread(target=self._answer, daemon=True).start()

    def submit(self, request):
        future = Future()
        self._waiting.put((future, super().submit(request)))
        return future

    def _answer(self):
        while True:
            future, answer = self._waiting.get()
            time.sleep(0.05)
            if future.cancelled():
                self._waiting.get()
                continue
            error = answer.exception()
            future.set_exception(error) if error else future.set_result(answer.result())


class Chokes(FakeEngine):
    def submit(self, request):
        request.prompt.text.encode()
        return super().submit(request)
'''

SUITE = """
from dataclasses import replace
import pytest
from pytest_llmeval.schema import ModelSpec
from pytest_llmeval.testing import EngineContract


class TestEngine(EngineContract):
    answer_timeout_s = 2.0

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls):
        return ModelSpec("fake", "fake", kind="bad_engines:{name}")

    @pytest.fixture(scope="class")
    @classmethod
    def broken_spec(cls, spec):
        return replace(spec, engine={{"fail_load": "no weights"}})
"""


@pytest.mark.parametrize(
    ("name", "broken_promise"),
    [
        ("Mixes", "test_an_answer_does_not_depend_on_the_order_of_asking"),
        ("Zeroes", "test_token_counts_are_counted_or_none"),
        ("Raises", "test_a_model_that_cannot_load_is_a_fault"),
        ("Forgets", "test_close_leaves_nobody_waiting"),
        ("Stumbles", "test_a_cancelled_request_harms_no_other"),
        ("Chokes", "test_odd_prompts_do_no_harm[[]surrogate[]]"),
    ],
)
def test_an_engine_that_breaks_a_promise_fails_its_test_only(pytester, name, broken_promise):
    pytester.makepyfile(bad_engines=ENGINES, test_engine=SUITE.format(name=name))
    pytester.syspathinsert()
    result = pytester.runpytest("-p", "no:cacheprovider", "-rf")
    result.assert_outcomes(passed=12, failed=1)
    result.stdout.fnmatch_lines([f"FAILED *::{broken_promise}*"])


def test_an_honest_engine_passes(pytester):
    pytester.makepyfile(bad_engines=ENGINES, test_engine=SUITE.format(name="Honest"))
    pytester.syspathinsert()
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=13)
