"""Scoring actors that come, judge and are lost: every sample gets one verdict, whatever happens to them."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import wait as wait_for

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.ray_cluster.dispatch import LARGEST_BATCH, Dispatch, Job
from pytest_llmeval.ray_cluster.fleet import Fleet, Patience
from pytest_llmeval.ray_cluster.scoring_actor import Started
from pytest_llmeval.sandbox import Isolation, Level, Limits
from pytest_llmeval.schema import Outcome, Problem, Program, Verdict

PROBLEM = Problem("tests", "tests/0", "", "f", "", "")
LIMITS = Limits()
PATIENCE_S = 60.0


def isolation(level: Level, *proven: str) -> Isolation:
    return Isolation(level, "none", "private", "split", "a test", proven)


def job(name: str = "x") -> Job:
    return Job(Program(name, "test"), PROBLEM, None)


def resolved(value) -> Future:
    future: Future = Future()
    future.set_exception(value) if isinstance(value, Exception) else future.set_result(value)
    return future


class Actor:
    """Judges at once; is lost with each batch that `loses` says yes to."""

    def __init__(
        self, level=Level.NAMESPACES, host="here", loses=lambda names: False, refusal="", comes=True
    ):
        self.level, self.host, self.loses, self.refusal, self.comes = level, host, loses, refusal, comes
        self.batches: list[list[str]] = []
        self.killed = False

    def started(self):
        if not self.comes:
            return Future()
        return resolved(self.said())

    def said(self):
        proven = None if self.refusal else isolation(self.level, "network")
        return Started(self.host, proven, "CPython", self.refusal)

    def judge(self, batch):
        names = [one.program.source for one in batch]
        self.batches.append(names)
        if self.loses(names):
            return resolved(RuntimeError("killed"))
        verdicts = [(one.number, Verdict(Outcome.PASSED, one.program.source)) for one in batch]
        return resolved((self.said(), verdicts))

    def kill(self):
        self.killed = True


class Unreachable(Actor):
    """Its connection is gone: asking it fails at once."""

    def judge(self, batch):
        raise ConnectionError("the connection is gone")


@pytest.fixture
def fleet_of():
    """Makes fleets, and closes them."""
    made = []

    def make(*actors, **patience) -> Fleet:
        made.append(Fleet(actors, lambda: LIMITS, Patience(**patience)))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


def outcomes(jobs) -> list[Verdict]:
    assert not wait_for([one.future for one in jobs], timeout=PATIENCE_S).not_done
    return [one.future.result() for one in jobs]


def test_batches_are_large_where_much_waits_and_small_at_the_end():
    dispatch = Dispatch()
    for _ in range(200):
        dispatch.add(job())
    sizes = []
    while batch := dispatch.take(2, LIMITS):
        sizes.append(len(batch))
        dispatch.judged([(one.number, Verdict(Outcome.PASSED)) for one in batch])
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1], sum(sizes)) == (LARGEST_BATCH, 1, 200)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["judged", "lost", "late"]), max_size=60), st.integers(1, 80))
def test_whatever_is_lost_every_job_has_one_verdict(fates, count):
    """`late`: an actor that counts as lost answers all the same; nobody hears it twice."""
    dispatch, told = Dispatch(), []
    jobs = [job(str(n)) for n in range(count)]
    for one in jobs:
        one.future.add_done_callback(lambda done: told.append(done.result()))
        dispatch.add(one)
    fates = iter(fates)
    while batch := dispatch.take(3, LIMITS):
        fate = next(fates, "judged")
        answer = [(one.number, Verdict(Outcome.PASSED, one.program.source)) for one in batch]
        if fate != "judged":
            dispatch.lost(batch, "killed")
        if fate != "lost":
            dispatch.judged(answer)
    assert len(told) == count
    judged = {verdict.detail for verdict in told if verdict.passed}
    assert all(v.passed or v.outcome is Outcome.SANDBOX_ERROR for v in told)
    assert len(judged) == sum(verdict.passed for verdict in told)


def test_what_a_lost_actor_held_is_judged_by_others(fleet_of):
    lost = iter([True])
    fragile = Actor(loses=lambda names: next(lost, False))
    fleet = fleet_of(fragile, Actor())
    jobs = [job(str(n)) for n in range(100)]
    for one in jobs:
        fleet.submit(one)
    assert [verdict.detail for verdict in outcomes(jobs)] == [str(n) for n in range(100)]
    assert fleet.losses == 1


def test_a_program_that_ends_every_actor_takes_no_other_program_with_it(fleet_of):
    """After its first batch each suspect goes alone."""
    fleet = fleet_of(*(Actor(loses=lambda names: "poison" in names) for _ in range(2)))
    jobs = [job("poison" if n == 5 else str(n)) for n in range(40)]
    for one in jobs:
        fleet.submit(one)
    verdicts = outcomes(jobs)
    assert [n for n, verdict in enumerate(verdicts) if not verdict.passed] == [5]
    assert verdicts[5].outcome is Outcome.SANDBOX_ERROR
    assert "every actor that was to judge it was lost, 3 in all: an actor was lost" in verdicts[5].detail


def test_the_weakest_level_of_all_actors_is_reported(fleet_of):
    fleet = fleet_of(Actor(), Actor(Level.SECCOMP, "old-kernel"), Actor(Level.LANDLOCK))
    fleet.ready.result(PATIENCE_S)
    assert fleet.roll.weakest.level is Level.SECCOMP
    assert fleet.actors_by_host() == {"here": {"A": 1, "B": 1}, "old-kernel": {"B-": 1}}


def test_an_actor_that_came_back_weaker_while_it_was_idle_counts_too(fleet_of):
    actor = Actor()
    fleet = fleet_of(actor)
    fleet.ready.result(PATIENCE_S)
    actor.level = Level.LANDLOCK
    one = job()
    fleet.submit(one)
    assert outcomes([one])[0].passed
    assert fleet.roll.weakest.level is Level.LANDLOCK


def test_a_node_that_refuses_the_level_refuses_the_run(fleet_of):
    fleet = fleet_of(Actor(), Actor(host="old-kernel", refusal="no isolation for untrusted code here"))
    with pytest.raises(SandboxFault, match=r"node old-kernel: no isolation for untrusted code here"):
        fleet.ready.result(PATIENCE_S)


def test_judging_begins_without_actors_that_find_no_core(fleet_of):
    fleet = fleet_of(Actor(), Actor(comes=False), others_s=0.0)
    fleet.ready.result(PATIENCE_S)
    one = job()
    fleet.submit(one)
    assert outcomes([one])[0].passed


def test_no_actor_at_all_is_told(fleet_of):
    with pytest.raises(SandboxFault, match="the cluster has no free core for one"):
        fleet_of(Actor(comes=False), first_s=0.0).ready.result(PATIENCE_S)


def test_where_nobody_comes_back_the_rest_are_faults_and_nobody_waits_for_ever(fleet_of):
    class Mortal(Actor):
        def started(self):
            return super().started() if not self.batches else resolved(RuntimeError("its node is gone"))

    fleet = fleet_of(Mortal(loses=lambda names: True))
    jobs = [job(str(n)) for n in range(5)]
    for one in jobs:
        fleet.submit(one)
    assert all("its node is gone" in verdict.detail for verdict in outcomes(jobs))


def test_closing_ends_the_actors_and_resolves_what_waits(fleet_of):
    silent = Actor()
    silent.judge = lambda batch: Future()
    fleet, one, late = fleet_of(silent), job(), job()
    fleet.ready.result(PATIENCE_S)
    fleet.submit(one)
    fleet.close()
    fleet.submit(late)
    assert [verdict.detail for verdict in outcomes([one, late])] == ["the sandbox was closed"] * 2
    assert silent.killed


def test_an_actor_that_cannot_even_be_asked_is_a_lost_one(fleet_of):
    fleet = fleet_of(Unreachable())
    jobs = [job(str(number)) for number in range(3)]
    for one in jobs:
        fleet.submit(one)
    assert all("ConnectionError: the connection is gone" in verdict.detail for verdict in outcomes(jobs))


def test_actors_none_of_which_can_be_asked_are_a_fault_that_says_why(fleet_of):
    actor = Unreachable()
    actor.started = lambda: actor.judge(())
    with pytest.raises(
        SandboxFault, match="an actor did not come up: ConnectionError: the connection is gone"
    ):
        fleet_of(actor).ready.result(PATIENCE_S)
