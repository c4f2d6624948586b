"""Who runs when: samples that must run alone have a core, or the machine, to themselves."""

from __future__ import annotations

import threading

from judging import QUICK, SQUARE

from pytest_llmeval.sandbox.cores import lanes
from pytest_llmeval.sandbox.jobs import Batch, Job, Jobs
from pytest_llmeval.sandbox.worker import Task
from pytest_llmeval.schema import Program

LANES = ((0, 4), (1, 5), (2, 6), (3, 7))


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
    assert (first.alone, first.cores) == (True, (3, 7))
    assert (second.alone, second.cores) == (False, (0, 4, 1, 5, 2, 6))


def test_its_core_is_free_before_it_starts() -> None:
    """What was started on any core is waited for; what starts meanwhile keeps away from that core."""
    jobs = Jobs(2, LANES)
    jobs.add(job())
    before = taken(jobs)
    assert before.cores == ()
    jobs.add(job(alone=True))
    jobs.add(job())
    beside = taken(jobs)
    assert (beside.alone, beside.cores) == (False, (0, 4, 1, 5, 2, 6))
    jobs.finished(before)
    assert taken(jobs).alone


def test_several_run_alone_at_a_time_each_on_a_core_of_its_own() -> None:
    jobs = Jobs(8, LANES)
    for _ in range(5):
        jobs.add(job(alone=True))
    running = [taken(jobs) for _ in range(4)]
    assert sorted(batch.cores for batch in running) == list(LANES)
    jobs.finished(running[1])
    assert taken(jobs).cores == running[1].cores
    assert waits(jobs)


def test_while_others_wait_one_core_is_theirs() -> None:
    jobs = Jobs(8, LANES)
    jobs.add(job())
    for _ in range(5):
        jobs.add(job(alone=True))
    running = [taken(jobs) for _ in range(4)]
    assert [(batch.alone, batch.cores) for batch in running] == [
        (True, (3, 7)),
        (True, (2, 6)),
        (True, (1, 5)),
        (False, (0, 4)),
    ]
    assert waits(jobs)


def test_others_that_come_later_get_the_first_core_that_ends() -> None:
    jobs = Jobs(2, LANES[:2])
    for _ in range(3):
        jobs.add(job(alone=True))
    running = {batch.cores: batch for batch in (taken(jobs), taken(jobs))}
    jobs.add(job())
    jobs.finished(running[0, 4])
    assert (beside := taken(jobs)).cores == (0, 4)
    assert not beside.alone


def test_without_a_core_to_spare_everything_else_waits() -> None:
    jobs = Jobs(2)
    jobs.add(job(alone=True))
    jobs.add(job())
    first = taken(jobs)
    assert not first.alone
    jobs.finished(first)
    assert taken(jobs).alone
    jobs.add(job())
    assert waits(jobs)


def test_the_cores_of_this_machine_are_apart_from_one_another() -> None:
    found = lanes()
    processors = [processor for lane in found for processor in lane]
    assert all(found)
    assert len(processors) == len(set(processors))


def test_engines_that_compute_have_cores_to_themselves() -> None:
    used = 3
    jobs = Jobs(8, LANES, engines_use=lambda: used)
    for _ in range(6):
        jobs.add(job())
    running = [taken(jobs) for _ in range(4)]
    assert {batch.cores for batch in running} == {(0, 4, 1, 5)}  # three processors are two cores
    used = 0
    assert taken(jobs).cores == ()
    used = 3
    assert waits(jobs), "no more than what is ours can run at a time"


def test_however_busy_engines_are_half_of_the_cores_judge() -> None:
    jobs = Jobs(2, LANES[:2], engines_use=lambda: 99)
    jobs.add(job(alone=True))
    jobs.add(job())
    together = taken(jobs)
    assert (together.alone, together.cores) == (False, (0, 4))
    jobs.finished(together)
    alone = taken(jobs)
    assert (alone.alone, alone.cores) == (True, (0, 4))
    jobs.add(job())
    assert waits(jobs)


def test_without_a_second_core_nothing_can_be_left_to_engines() -> None:
    jobs = Jobs(2, LANES[:1], engines_use=lambda: 1)
    jobs.add(job())
    assert taken(jobs).cores == ()
