"""Several engines at a time: a thread for each model that has its places, from loading until they are free again.

Items wait in pytest's own thread, for their model (`demand`) and then for their Records; which model starts when is
`line.starts`'s word. Models start in the order of the plan and end by themselves, whether their items have come
or not; one whose engine a test uses stays open until it is released.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_until_done
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_llmeval.errors import EngineFault
from pytest_llmeval.placement import Assignment, Need, Placement, Pool, starts
from pytest_llmeval.placement.turns import WAIT_S, Turns

ENDED_WITHIN_S = 30.0
ENDED = "not answered: the run ended before"

Notify = Callable[[str, str], None]


class Work(Protocol):
    """What is done with a model; every call comes from the thread of that model."""

    def begin(self, model: str, placement: Placement) -> Any:
        """Load it, submit everything that is planned for it, and return its batch."""

    def settle(self, batch: Any) -> None:
        """Wait until its answers have come and were judged."""

    def measures(self, model: str) -> bool:
        """True where `finish` will time requests, so that others must not disturb it."""

    def finish(self, model: str, *, timed: bool) -> None:
        """Time what is to be timed (where `timed`), then close its engine."""


@dataclass
class Seat:
    """One model's stay: its need, its batch once it was opened, and when things happened (seconds of the clock)."""

    need: Need
    opened: Future[Any] = field(default_factory=Future)
    released: threading.Event = field(default_factory=threading.Event)
    places: tuple[str, ...] = ()
    times: dict[str, float] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return self.need.model

    @property
    def idles(self) -> bool:
        """True while its engine is open for tests that have not come yet."""
        return self.need.kept and "settled_s" in self.times and not self.released.is_set()

    @property
    def is_leaving(self) -> bool:
        """True from when its engine was let go until that is closed: who wants an engine then gets another."""
        running = "from_s" in self.times and "to_s" not in self.times
        return self.need.kept and self.released.is_set() and running


class SideBySide:
    """Drives models on a pool of places. At its end: `stop()`, then `join()`, while models that tests are done with
    are still timed.
    """

    def __init__(
        self,
        pool: Pool,
        needs: Sequence[Need],
        work: Work,
        notify: Notify = lambda stage, detail: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._work = work
        self._notify = notify
        self._clock = clock
        self._started_at = clock()
        self._changed = threading.Condition()  # guards everything below
        self._seats = {need.model: Seat(need) for need in needs}
        self._line = list(self._seats.values())
        self._running: dict[str, Seat] = {}
        self._threads: list[threading.Thread] = []
        self._turns = Turns(pool.shares_cores, self._changed, self.tell)
        self._stopping = False
        self._hurried = False
        # Models that were running when the run ended, before their tests had.
        self._given_up: set[str] = set()
        self._here = threading.local()
        self._told: dict[str, tuple[str, str]] = {}

    # ------------------------------------------------------------------------- called by pytest's thread

    def start(self) -> None:
        """Let those in the line start that have their places; called again whenever places are free."""
        with self._changed:
            if self._stopping:
                return
            taken = {place for seat in self._running.values() for place in seat.places}
            for one in starts([seat.need for seat in self._line], self._pool.everywhere, taken):
                self._seat(one)

    def _seat(self, one: Assignment) -> None:
        seat = self._seats[one.need.model]
        self._line.remove(seat)
        self._running[seat.model] = seat
        seat.places = tuple(place.name for place in one.places)
        self._note(seat, "from_s")
        placement = self._pool.placement(one.places)
        name = f"llmeval-{seat.model}"
        thread = threading.Thread(target=self._drive, args=(seat, placement), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def demand(self, model: str) -> Any:
        """The batch of a model, as soon as it is open. One that waits is the next to get places.

        Raises:
            whatever kept it from being opened.
        """
        seat = self._wanted(model)
        self.start()
        while not wait_until_done([seat.opened], timeout=WAIT_S).done:
            self._make_room_for(seat)
            self.tell(*self._told.get(model, (f"{model}: waiting", f"for {self._pool.described}")))
        return seat.opened.result()

    def _wanted(self, model: str) -> Seat:
        with self._changed:
            seat = self._seats[model]
            while seat.is_leaving:
                self.tell(f"{model}: waiting", "for its engine to be closed and opened again")
                self._changed.wait(WAIT_S)
            if "to_s" in seat.times and seat.need.kept and not seat.opened.exception():
                seat = self._seats[model] = Seat(seat.need)  # its tests come again: open it again
                self._line.insert(0, seat)
            elif seat in self._line:
                self._line.remove(seat)
                self._line.insert(0, seat)
            return seat

    def _make_room_for(self, seat: Seat) -> None:
        """Engines that only wait for tests behind this one would wait for ever: they are closed, and opened again."""
        with self._changed:
            if seat in self._line and all(one.idles for one in self._running.values()):
                for one in self._running.values():
                    one.released.set()
                self._changed.notify_all()

    def release(self, model: str) -> None:
        """No test uses the model's engine any more."""
        with self._changed:
            self._seats[model].released.set()
            self._changed.notify_all()

    def quiet(self, model: str) -> None:
        """Wait until nobody disturbs measurements of this model; holds until its engine is closed.

        On devices of their own engines do not disturb each other.
        """
        self._turns.be_alone(model)

    @property
    def all_released(self) -> bool:
        """True where no test waits for any model any more: what is left is timing and closing."""
        with self._changed:
            return all(seat.released.is_set() or "to_s" in seat.times for seat in self._seats.values())

    def stop(self) -> list[str]:
        """Start nothing more, let those go that wait, and give up models that tests were not done with.

        Returns the names of those that run: they end when their engines are closed.
        """
        with self._changed:
            self._stopping = True
            waiting, self._line = self._line, []
            self._given_up = {m for m, seat in self._running.items() if not seat.released.is_set()}
            self._changed.notify_all()
        for seat in waiting:
            seat.opened.set_exception(EngineFault(ENDED))
        return sorted(self._given_up)

    def gave_up(self, model: str) -> bool:
        """True where what happens to the model now comes of the run's end, and is no fault of its own."""
        return model in self._given_up

    def join(self) -> None:
        """Wait until every model has ended; one that was given up and does not end is left behind."""
        deadline = time.monotonic() + ENDED_WITHIN_S
        while self._still_running(late=time.monotonic() > deadline) and not self._hurried:
            for stage, detail in list(self._told.values())[:1]:
                self.tell(stage, detail)

    def hurry(self) -> None:
        """Let `join` wait for nobody. May be called by a signal."""
        self._hurried = True  # and nothing else: a lock may be held by whom the signal interrupted

    def _still_running(self, late: bool) -> bool:
        """True where models run after a moment, or that they do not; `late`: those that were given up do not count."""
        with self._changed:
            if self._running:
                self._changed.wait(WAIT_S)
            return bool(set(self._running) - (self._given_up if late else set()))

    def describe(self) -> dict[str, Any]:
        """For the manifest: who was where, and when, in seconds since the first could start."""
        with self._changed:
            seats = [seat for seat in self._seats.values() if seat.places]
            return {
                "kind": self._pool.kind,
                "places": [place.name for place in self._pool.places],
                "models": {
                    seat.model: {"places": seat.places, **seat.times, "beside": self._beside(seat, seats)}
                    for seat in seats
                },
            }

    @staticmethod
    def _beside(seat: Seat, seats: Sequence[Seat]) -> list[str]:
        """Models that had places at the same time."""
        begins, ends = seat.times["from_s"], seat.times.get("to_s", float("inf"))
        return [
            one.model
            for one in seats
            if one is not seat and one.times["from_s"] < ends and one.times.get("to_s", float("inf")) > begins
        ]

    def tell(self, stage: str, detail: str) -> None:
        """Progress: a model's thread leaves its own for those who wait, pytest's thread shows it, and the others'.

        Raises:
            EngineFault: in a model's thread, when the run has ended: there is nothing more to wait for.
        """
        model = getattr(self._here, "model", None)
        if model is not None:
            if model in self._given_up:
                raise EngineFault(ENDED)
            self._told[model] = stage, detail
            return
        others = [f"{s}, {d}" for s, d in list(self._told.values()) if s != stage]
        self._notify(stage, " | ".join([detail, *others]))

    # ------------------------------------------------------------------------ in the thread of one model

    def _drive(self, seat: Seat, placement: Placement) -> None:
        self._here.model = seat.model
        try:
            with self._turns.computing(seat.model):
                batch = self._work.begin(seat.model, placement)
                self._note(seat, "ready_s")
                seat.opened.set_result(batch)
                self._work.settle(batch)
            self._note(seat, "settled_s")
            self._told.pop(seat.model, None)
            self._keep_open(seat)
        except BaseException as error:
            if not seat.opened.done():
                seat.opened.set_exception(error)  # it belongs to whoever waits for the model
            elif not isinstance(error, EngineFault):  # that one is told by the Records it keeps from coming
                raise
        finally:
            self._end(seat)

    def _keep_open(self, seat: Seat) -> None:
        with self._changed:
            while seat.need.kept and not (seat.released.is_set() or seat.model in self._given_up):
                self._changed.wait(WAIT_S)

    def _end(self, seat: Seat) -> None:
        try:
            timed = self._may_be_timed(seat)
            self._note(seat, "finishing_s")
            self._work.finish(seat.model, timed=timed)
        finally:
            with self._changed:  # all at once: whoever finds that it has ended may seat the model anew
                self._note(seat, "to_s")
                self._told.pop(seat.model, None)
                self._running.pop(seat.model, None)
                self._turns.leave(seat.model)
                self._changed.notify_all()
            self.start()

    def _may_be_timed(self, seat: Seat) -> bool:
        """True once nobody disturbs it; False where it was given up meanwhile."""
        try:
            if self._work.measures(seat.model):
                self._turns.be_alone(seat.model)
        except EngineFault:
            return False
        return seat.model not in self._given_up

    def _note(self, seat: Seat, moment: str) -> None:
        with self._changed:
            seat.times[moment] = round(self._clock() - self._started_at, 3)
