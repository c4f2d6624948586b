"""Who runs when: samples that must run alone have a core, or the machine, to themselves."""

from __future__ import annotations

import threading

from judging import QUICK, SQUARE

from pytest_llmeval.sandbox.cores import Lanes, lanes
from pytest_llmeval.sandbox.jobs import Batch, Job, Jobs
from pytest_llmeval.sandbox.worker import Task
from pytest_llmeval.schema import Program

LANES = Lanes(alone=(3,), others=(0, 1, 2))


def job(alone: bool = False) -> Job:
    return Job(Task(Program("", "test"), SQUARE, QUICK), alone=alone)


def taken(jobs: Jobs) -> Batch:
    batch = jobs.take()
    assert batch is not None
    return batch


def waits(jobs: Jobs) -> bool:
    """True where nothing may run now: only closing the queue ends the wait."""
    found: list[Batch | None] = []
    thread = threading.Thread(target=lambda: found.append(jobs.take()))
    thread.start()
    thread.join(0.1)
    blocked = thread.is_alive()
    jobs.close()
    thread.join()
    return blocked and found == [None]


def test_a_sample_runs_alone_on_its_core_while_the_others_go_on_beside_it() -> None:
    jobs = Jobs(2, LANES)
    jobs.add(job(alone=True))
    jobs.add(job())
    first, second = taken(jobs), taken(jobs)
    assert (first.alone, first.cores) == (True, (3,))
    assert (second.alone, second.cores) == (False, (0, 1, 2))


def test_its_core_is_free_before_it_starts() -> None:
    """What was started on any core is waited for; what starts meanwhile keeps away from that core."""
    jobs = Jobs(2, LANES)
    jobs.add(job())
    before = taken(jobs)
    assert before.cores == ()
    jobs.add(job(alone=True))
    jobs.add(job())
    beside = taken(jobs)
    assert (beside.alone, beside.cores) == (False, (0, 1, 2))
    jobs.finished(before)
    assert taken(jobs).alone


def test_samples_that_run_alone_do_so_one_after_the_other() -> None:
    jobs = Jobs(2, LANES)
    jobs.add(job(alone=True))
    jobs.add(job(alone=True))
    first = taken(jobs)
    jobs.finished(first)
    second = taken(jobs)
    assert first.alone
    assert second.alone
    jobs.add(job(alone=True))
    assert waits(jobs)


def test_without_a_core_to_spare_everything_else_waits() -> None:
    jobs = Jobs(2, None)
    jobs.add(job(alone=True))
    jobs.add(job())
    first = taken(jobs)
    assert not first.alone
    jobs.finished(first)
    assert taken(jobs).alone
    jobs.add(job())
    assert waits(jobs)


def test_the_spare_core_is_apart_from_the_others() -> None:
    found = lanes()
    if found is not None:
        assert found.alone
        assert found.others
        assert not set(found.alone) & set(found.others)
