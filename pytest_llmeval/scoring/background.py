"""The sandbox's executor, started and fitted to the machine in the background while the first model loads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from pytest_llmeval.options import Options
from pytest_llmeval.problems.expected import Kept
from pytest_llmeval.problems.sources import cache_folder
from pytest_llmeval.sandbox import Executor, Isolation, Limits
from pytest_llmeval.schema import Problem
from pytest_llmeval.scoring.judge import Judge, ProgramExecutor


def local_executor(options: Options, engines_use: Callable[[], int] = lambda: 0) -> Executor:
    """The sandbox of this machine; engines keep `engines_use()` processors busy at the moment."""
    return Executor(
        level=options.sandbox,
        workers=options.sandbox_workers,
        limits=Limits.of(options.sandbox_limits),
        site=[str(path) for path in options.sandbox_site],
        engines_use=engines_use,
    )


class BackgroundExecutor:
    """An executor that starts without making anyone wait until it is needed."""

    def __init__(self, options: Options, make: Callable[[Options], ProgramExecutor] = local_executor) -> None:
        """`make` makes the executor; as it stands, programs are judged on this machine."""
        self._options = options
        self._make = make
        self._starting: Future[ProgramExecutor] | None = None
        self._lock = threading.Lock()
        self._judge: Judge | None = None

    def start(self, problems: Sequence[Problem] = ()) -> None:
        """Start; then get ready for `problems`: measure those that ask for it, fit the wall limit to the others."""
        if self._starting is None:
            pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-start")
            self._starting = pool.submit(self._start)
            pool.submit(self._get_ready, problems)
            pool.shutdown(wait=False)

    def _start(self) -> ProgramExecutor:
        executor = self._make(self._options)
        try:
            executor.start()
        except BaseException:
            executor.close()
            raise
        return executor

    def _get_ready(self, problems: Sequence[Problem]) -> None:
        if self.failed:
            return
        for problem in problems:
            self.judge().complete(problem)
        if not self._wall_is_fixed:
            self.get().calibrate([p for p in problems if p.measures == "nothing" and p.wall_s is None])

    @property
    def _wall_is_fixed(self) -> bool:
        return "wall_s" in self._options.sandbox_limits

    @property
    def failed(self) -> bool:
        return self._starting is not None and self._starting.done() and self._starting.exception() is not None

    def get(self) -> ProgramExecutor:
        """The started executor.

        Raises:
            SandboxFault: no allowed isolation level works here.
        """
        self.start()
        assert self._starting is not None
        return self._starting.result()

    def judge(self) -> Judge:
        """What judges in a run.

        Raises:
            SandboxFault: no allowed isolation level works here.
        """
        executor = self.get()
        with self._lock:
            if self._judge is None:
                kept = Kept(cache_folder() / "answers", executor.environment)
                self._judge = Judge(executor, kept, self._wall_is_fixed)
            return self._judge

    @property
    def isolation(self) -> Isolation | None:
        """What proved itself; None while that is not known."""
        ready = self._starting is not None and self._starting.done() and not self.failed
        return self.get().isolation if ready else None

    def describe(self) -> dict[str, Any] | None:
        """Isolation, limits and what programs may import, for the manifest; None where it did not start."""
        if self.isolation is None:
            return None
        executor = self.get()
        return {
            **asdict(executor.isolation),
            "limits": asdict(executor.limits.resolved()),
            "environment": executor.environment,
            "workers_replaced": executor.respawns,
        }

    def close(self) -> None:
        if self._starting is not None and not self._starting.exception():
            self._starting.result().close()
