"""The sandbox's executor, started and fitted to the machine in the background while the first model loads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from pytest_llmeval.options import Options
from pytest_llmeval.sandbox import Executor, Isolation, Limits
from pytest_llmeval.schema import Problem


class BackgroundExecutor:
    """An executor that starts without making anyone wait until it is needed."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._starting: Future[Executor] | None = None

    def start(self, calibration: Sequence[Problem] = ()) -> None:
        """Start; then fit the wall limit to the canonical solutions of `calibration`, unless it was given."""
        if self._starting is None:
            pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-start")
            self._starting = pool.submit(self._start)
            if "wall_s" not in self._options.sandbox_limits:
                pool.submit(self._calibrate, calibration)
            pool.shutdown(wait=False)

    def _start(self) -> Executor:
        options = self._options
        executor = Executor(
            level=options.sandbox,
            workers=options.sandbox_workers,
            limits=Limits(**options.sandbox_limits),  # type: ignore[arg-type]  # options.py keeps whole numbers whole
            site=[str(path) for path in options.sandbox_site],
        )
        executor.start()
        return executor

    def _calibrate(self, problems: Sequence[Problem]) -> None:
        if not self.failed:
            self.get().calibrate(problems)

    @property
    def failed(self) -> bool:
        return self._starting is not None and self._starting.done() and self._starting.exception() is not None

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
