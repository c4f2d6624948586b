"""The sandbox's executor, started in the background while the first model loads."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from pytest_llmeval.sandbox import Executor, Isolation


class BackgroundExecutor:
    """An executor that starts without making anyone wait until it is needed."""

    def __init__(self, level: str) -> None:
        self._level = level
        self._starting: Future[Executor] | None = None

    def start(self) -> None:
        if self._starting is None:
            pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-start")
            self._starting = pool.submit(self._start)
            pool.shutdown(wait=False)

    def _start(self) -> Executor:
        executor = Executor(level=self._level)
        executor.start()
        return executor

    def get(self) -> Executor:
        """The started executor.

        Raises:
            SandboxFault: no allowed isolation level works here.
        """
        self.start()
        assert self._starting is not None
        return self._starting.result()

    @property
    def isolation(self) -> Isolation | None:
        """What proved itself; None while that is not known."""
        ready = self._starting is not None and self._starting.done() and not self._starting.exception()
        return self.get().isolation if ready else None

    def close(self) -> None:
        if self._starting is not None and not self._starting.exception():
            self._starting.result().close()
