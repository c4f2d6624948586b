"""What a run has on a Ray cluster: where its programs are judged, and where its engines are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_llmeval import devices
from pytest_llmeval.options import Options
from pytest_llmeval.ray_cluster.cluster import Cluster
from pytest_llmeval.ray_cluster.hosts import RayLaunchers
from pytest_llmeval.ray_cluster.room import cores_kept_free
from pytest_llmeval.ray_cluster.scoring import RayExecutor
from pytest_llmeval.ray_cluster.scoring_actor import Settings
from pytest_llmeval.sandbox import Limits
from pytest_llmeval.sandbox.cores import usable
from pytest_llmeval.schema import ModelSpec


class WorkOnRay:
    """One run's cluster; `close()` ends what the run has there, and the cluster where the run started it."""

    def __init__(self, address: str, options: Options, specs: Iterable[ModelSpec]) -> None:
        """`specs` are the models that will be asked: room is kept for the largest of their engines."""
        self._engine_cores = cores_kept_free(specs)
        judging = options.sandbox_workers or usable()
        self.cluster = Cluster(address, cores=judging + self._engine_cores)
        self._executor: RayExecutor | None = None

    @property
    def launchers(self) -> RayLaunchers:
        """What starts engine hosts there."""
        self.cluster.open()
        return RayLaunchers(self.cluster)

    def why_unavailable(self, spec: ModelSpec) -> str | None:
        """One short reason why the cluster cannot run `spec`, or None."""
        self.cluster.open()
        return devices.why_unavailable(spec, self.cluster.gpus)

    def executor(self, options: Options) -> RayExecutor:
        """What judges, to be started."""
        limits = Limits.of(options.sandbox_limits)
        settings = Settings(options.sandbox, limits, tuple(map(str, options.sandbox_site)))
        self._executor = RayExecutor(self.cluster, settings, options.sandbox_workers, self._engine_cores)
        return self._executor

    def headline(self) -> str:
        """Which cluster, and who judges there."""
        where = "started here for this run" if self.cluster.started_here else f"at {self.cluster.address}"
        actors = self._executor.actors_by_host() if self._executor else {}
        count = sum(sum(levels.values()) for levels in actors.values())
        weaker = {level for levels in actors.values() for level in levels}
        told = f", levels {', '.join(sorted(weaker))}: the weakest counts" if len(weaker) > 1 else ""
        return f"a cluster {where}; {count} scoring actors on {len(actors)} of {len(self.cluster.nodes)} nodes{told}"

    def describe(self) -> dict[str, Any] | None:
        """For the manifest; None while there is no connection."""
        if not self.cluster.is_open:
            return None
        actors = self._executor.actors_by_host() if self._executor else {}
        return {**self.cluster.describe(), "scoring_actors": actors}

    def close(self) -> None:
        self.cluster.close()
