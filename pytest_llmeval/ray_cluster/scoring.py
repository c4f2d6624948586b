"""The sandbox's executor on a cluster: one actor per core, each with zygotes of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.ray_cluster.cluster import Cluster
from pytest_llmeval.ray_cluster.dispatch import Job, fault
from pytest_llmeval.ray_cluster.fleet import CLOSED, Answer, Fleet
from pytest_llmeval.ray_cluster.scoring_actor import Asked, ScoringActor, Settings, Started
from pytest_llmeval.sandbox import Isolation, Limits
from pytest_llmeval.sandbox.calibration import fitted
from pytest_llmeval.schema import Problem, Program, Verdict


class RayExecutor:
    """Judges Programs on the actors of a cluster, as `sandbox.Executor` does on this machine.

    A program whose actor or node is lost is judged by another one; futures always resolve, once. `isolation`
    is the weakest that any actor proved. `close()` ends the actors with all they forked.
    """

    def __init__(self, cluster: Cluster, settings: Settings, workers: int | None, kept_free: int) -> None:
        """`workers`: how many actors (None: one per free core, less `kept_free`, which engines will need)."""
        self._cluster = cluster
        self._settings = settings
        self._workers = workers
        self._kept_free = kept_free
        self._limits = settings.limits
        self._lock = threading.Lock()
        self._fleet: Fleet | None = None

    @property
    def isolation(self) -> Isolation:
        """SandboxFault before `start`."""
        return self._started().roll.weakest

    @property
    def environment(self) -> str:
        """What programs may import; of every kind of node, where they differ."""
        return self._started().roll.environment

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def respawns(self) -> int:
        """How many actors were lost."""
        return self._fleet.losses if self._fleet else 0

    def actors_by_host(self) -> Mapping[str, Mapping[str, int]]:
        """How many actors are up, by host and level."""
        return self._fleet.actors_by_host() if self._fleet else {}

    def start(self) -> None:
        """Start every actor and wait for what it proves. Again, it does nothing.

        Raises:
            SandboxFault: an actor's node offers no allowed isolation, or no actor comes up.
            ConfigurationError: the cluster cannot be reached.
        """
        with self._lock:
            if self._fleet is None:
                self._cluster.open()
                self._fleet = Fleet(self._actors(), lambda: self._limits)
        self._fleet.ready.result()

    def _actors(self) -> list[RayActor]:
        import ray

        free = int(ray.available_resources().get("CPU", 0)) - self._kept_free
        remote = ray.remote(ScoringActor).options(
            num_cpus=1, max_restarts=-1, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        settings = replace(self._settings, scratch=self._cluster.scratch)
        return [RayActor(remote.remote(settings)) for _ in range(self._workers or max(1, free))]

    def submit(self, program: Program, problem: Problem, limits: Limits | None = None) -> Future[Verdict]:
        """The verdict of `program`, in time. Callable from any thread; the future always resolves."""
        job = Job(program, problem, limits)
        job.future.set_running_or_notify_cancel()
        if self._fleet is None:
            job.resolve(fault(CLOSED))
        else:
            self._fleet.submit(job)
        return job.future

    def calibrate(self, problems: Iterable[Problem]) -> Limits:
        """Fit the wall limit to the cluster: what the slowest canonical solution takes there, times a factor."""
        self._limits = fitted(self._limits, problems, self.submit)
        return self._limits

    def close(self) -> None:
        """End every actor; samples still waiting become faults. May be called again."""
        if self._fleet is not None:
            self._fleet.close()

    def _started(self) -> Fleet:
        if self._fleet is None:
            raise SandboxFault("the sandbox was not started: call start() first")
        return self._fleet


class RayActor:
    """A scoring actor behind Ray's handle. A batch is never sent twice by Ray: we decide who judges it next."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def started(self) -> Future[Started]:
        future: Future[Started] = self._handle.started.options(max_task_retries=-1).remote().future()
        return future

    def judge(self, batch: Sequence[Asked]) -> Future[Answer]:
        future: Future[Answer] = self._handle.judge.remote(batch).future()
        return future

    def kill(self) -> None:
        import ray

        with contextlib.suppress(Exception):  # the connection may be gone, and the actor with it
            ray.kill(self._handle, no_restart=True)
