"""Models that are let go and wanted again. The work here is none; real runs are in integration/."""

from __future__ import annotations

import threading

import pytest

from pytest_llmeval.placement import Need, Place, Pool
from pytest_llmeval.placement.side_by_side import SideBySide

POOL = Pool("cores", (Place("0", cores=(0,)), Place("1", cores=(1,))))


class Work:
    """Opens at once; what is open closes when `may_close` is set."""

    def __init__(self):
        self.opened = 0
        self.may_close = threading.Event()

    def begin(self, model, placement):
        self.opened += 1
        return f"{model}, opening {self.opened}"

    def settle(self, batch):
        """Everything is answered."""

    def measures(self, model):
        return False

    def finish(self, model, *, timed):
        assert self.may_close.wait(60)


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def models(work):
    """One model whose engine tests use; what closes may do so once somebody was told that they wait."""
    driven = SideBySide(POOL, [Need("a", kept=True)], work, lambda stage, detail: work.may_close.set())
    driven.start()
    yield driven
    driven.stop()
    work.may_close.set()
    driven.join()


def test_a_model_that_is_wanted_again_while_it_closes_is_opened_again(models):
    """Its tests came, others' came between, and its own come again while its engine is timed or closed."""
    assert models.demand("a") == "a, opening 1"
    models.release("a")
    assert models.demand("a") == "a, opening 2"


def test_a_model_that_is_wanted_again_before_it_was_let_go_stays_open(models):
    assert models.demand("a") == models.demand("a") == "a, opening 1"
