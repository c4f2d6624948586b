"""A program that is recited again and again: what it costs when it never ends."""

from __future__ import annotations

from concurrent.futures import Future

from pytest_llmeval.schema import Outcome, Problem, Program, Verdict
from pytest_llmeval.scoring.repeats import Repeats

ENDLESS = Verdict(Outcome.TIMEOUT, "no answer within 3 s", wall_s=3.0, cpu_s=2.9)
PROBLEM, OTHER = (Problem("p", f"p/{number}", "", "f", "", "") for number in range(2))


class Executor:
    """Judges when told to."""

    def __init__(self):
        self.asked = []

    def submit(self, program, problem, limits=None):
        self.asked.append(Future())
        return self.asked[-1]


def submitted(repeats, count, source="while True: pass", problem=PROBLEM):
    return [repeats.submit(Program(source, "test"), problem) for _ in range(count)]


def test_an_endless_program_that_is_recited_twenty_times_is_waited_for_once():
    executor = Executor()
    repeats = Repeats(executor)
    verdicts = submitted(repeats, 20)
    assert len(executor.asked) == 1
    executor.asked[0].set_result(ENDLESS)
    first, *others = (future.result(0) for future in (*verdicts, *submitted(repeats, 1)))
    assert first == ENDLESS
    assert {(v.outcome, v.wall_s, v.cpu_s) for v in others} == {(Outcome.TIMEOUT, None, None)}, "not measured"
    assert {v.detail for v in others} == {"no answer within 3 s, as the same program before"}
    assert len(executor.asked) == 1


def test_everything_else_is_judged_as_often_as_it_comes():
    executor = Executor()
    repeats = Repeats(executor)
    verdicts = submitted(repeats, 3)
    executor.asked[0].set_result(Verdict(Outcome.SANDBOX_ERROR, "lost"))
    for asked in executor.asked[1:]:
        asked.set_result(Verdict(Outcome.PASSED))
    found = [future.result(0).outcome for future in verdicts]
    assert found == [Outcome.SANDBOX_ERROR, Outcome.PASSED, Outcome.PASSED]


def test_the_same_program_for_another_problem_is_another_matter():
    executor = Executor()
    repeats = Repeats(executor)
    submitted(repeats, 1)
    submitted(repeats, 1, problem=OTHER)
    submitted(repeats, 1, source="pass")
    assert len(executor.asked) == 3
