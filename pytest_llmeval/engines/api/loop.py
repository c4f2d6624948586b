"""An asyncio event loop on a thread of its own, and Futures answered outside it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from pytest_llmeval.errors import EngineFault

T = TypeVar("T")

# Turns of the loop that requests get before they are cancelled: where a connection is cancelled before its
# first step, anyio leaves a coroutine unawaited, and Python warns about it in the user's output.
FIRST_STEPS = 8


class LoopThread:
    """Runs coroutines for callers in other threads.

    Futures are answered in a second thread: their callbacks score and write, and on the loop that would delay
    the stamps of every other stream. `close()` cancels what runs, answers its Futures and ends both threads.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._answering = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-answers")
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; never blocks. Its Future raises EngineFault where the loop is closed first.

        Cancelling the Future cancels the coroutine.
        """
        future: Future[T] = Future()
        self._loop.call_soon_threadsafe(self._start, work, future)
        return future

    def _start(self, work: Coroutine[Any, Any, T], future: Future[T]) -> None:
        task = self._loop.create_task(work)
        # A callback, not a try in the coroutine: one that is cancelled before its first step runs no line.
        task.add_done_callback(partial(self._ended, future))
        future.add_done_callback(partial(self._cancel, task))

    def _cancel(self, task: asyncio.Task[T], future: Future[T]) -> None:
        if future.cancelled():
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, and the task with it
                self._loop.call_soon_threadsafe(task.cancel)

    def _ended(self, future: Future[T], task: asyncio.Task[T]) -> None:
        self._answering.submit(settle, future, task)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel all coroutines, run `last`, and wait until everything is answered."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._answering.shutdown()

    async def _cancel_all(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        for _ in range(FIRST_STEPS):
            await asyncio.sleep(0)
        while running := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        # Threads that coroutines started may wait for this loop, and Python waits for them when it exits.
        await asyncio.get_running_loop().shutdown_default_executor()
        await last()


def settle(future: Future[T], task: asyncio.Task[T]) -> None:
    """Answer a Future, which its owner may have cancelled, with what became of its task."""
    if not future.set_running_or_notify_cancel():
        return
    if task.cancelled():
        future.set_exception(EngineFault("the engine was closed"))
    elif error := task.exception():
        future.set_exception(error)
    else:
        future.set_result(task.result())
