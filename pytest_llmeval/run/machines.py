"""What the models of a run run on: this machine, places of it side by side, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmeval import devices
from pytest_llmeval.options import Options
from pytest_llmeval.placement import Need, Pool, why_never
from pytest_llmeval.schema import ModelSpec

if TYPE_CHECKING:  # imported where a run has one
    from pytest_llmeval.ray_cluster.work import WorkOnRay


class Machines:
    """What `options` say of devices and clusters, for the models that are `planned`."""

    def __init__(
        self,
        options: Options,
        specs: Mapping[str, ModelSpec],
        planned: Iterable[str],
        engine_wanted: Collection[str],
    ) -> None:
        """`engine_wanted`: models whose engine a test itself uses."""
        self._options = options
        self._specs = specs
        self._planned = planned
        self._engine_wanted = engine_wanted

    @cached_property
    def on_ray(self) -> WorkOnRay | None:
        """What the run has on a Ray cluster; None without --llmeval-ray."""
        if self._options.ray is None:
            return None
        from pytest_llmeval.ray_cluster.work import WorkOnRay

        return WorkOnRay(self._options.ray, self._options, [self._specs[name] for name in self._planned])

    @cached_property
    def pool(self) -> Pool | None:
        """The places that models run on side by side; None where they run one after another.

        Raises:
            ConfigurationError: --llmeval-devices names what is not there.
        """
        if self._options.devices is None:
            return None
        from pytest_llmeval.placement.pool import pool_of

        return pool_of(self._options.devices)

    def need(self, model: str) -> Need:
        """What a model needs of the pool."""
        from pytest_llmeval.placement.needs import need_of
        from pytest_llmeval.placement.pool import pinned

        assert self.pool is not None
        spec = self._specs[model]
        kept = model in self._engine_wanted
        return need_of(spec, self.pool, kept=kept, pinned=pinned(spec, self.pool))

    def why_unavailable(self, model: str) -> str | None:
        """Why a model cannot run there; None where it can."""
        if self.on_ray:
            return self.on_ray.why_unavailable(self._specs[model])
        reason = devices.why_unavailable(self._specs[model])
        if reason or self.pool is None:
            return reason
        return why_never(self.need(model), self.pool.everywhere)

    def close(self) -> None:
        """Leave the cluster; one that was started for this run ends."""
        if self.on_ray:
            self.on_ray.close()
