"""Engine hosts on a cluster: an actor on a node starts the host as pytest would, and relays what is said.

The protocol is the same, line by line; so are deaths. A host that dies is told by its actor. An actor or a node
that dies is told by Ray; the host's keeper then kills the host's group. Who decides about starting again is the
engine, as ever: Ray restarts none of these actors.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.child import GONE_WITHIN_S
from pytest_llmeval.engines.host.process import IMPORTING, Host, Owner
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.ray_cluster.cluster import Cluster
from pytest_llmeval.ray_cluster.fleet import told
from pytest_llmeval.ray_cluster.host_actor import Heard, HostActor, Placed
from pytest_llmeval.ray_cluster.room import Room, room_for
from pytest_llmeval.schema import ModelSpec

PLACING = "waiting for room on the cluster"
LOOK_S = 0.5
THREADS = 4  # of an actor: one hears, one tells, one ends
PINNED = "CUDA_VISIBLE_DEVICES"


class RayLaunchers:
    """Starts engine hosts on a cluster, each engine's in room of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def has_gpu(self) -> bool:
        return any(node.gpu_count for node in self._cluster.nodes)

    def of(self, spec: ModelSpec) -> RayLauncher:
        return RayLauncher(self._cluster, room_for(spec, self._cluster.nodes))


class RayLauncher:
    """A placement group for the hosts of one engine: one that replaces another finds its devices reserved."""

    def __init__(self, cluster: Cluster, room: Room) -> None:
        self.room = room
        self._nodes = cluster.nodes
        self.is_here = cluster.started_here
        self.address = cluster.address
        self.last: Placed | None = None
        self._group: Any = None
        self._released = threading.Event()

    def start(self, driver: str, environment: Mapping[str, str], log_path: Path, owner: Owner) -> Host:
        return RayHost(self, driver, self._environment(environment), log_path, owner)

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Which devices are visible is decided on the node, and so is where programs are found."""
        kept = {name: value for name, value in given.items() if name not in (PINNED, "PATH")}
        return {**kept, "RAY_ADDRESS": self.address} if self.room.engine else kept

    def actor(self, wanted: threading.Event) -> Any:
        """An actor in the reserved room, once there is any; None where that was not `wanted` any more."""
        import ray
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if not any(self.room.fits(node) for node in self._nodes):
            raise EngineFault(f"no node of the cluster has {self.room}, which this engine needs")
        if self._group is None:
            self._group = placement_group([self.room.bundle], strategy="STRICT_PACK")
        while not self._group.wait(LOOK_S):
            if not wanted.is_set() or self._released.is_set():
                return None
        strategy = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=0)
        options = {"num_cpus": self.room.cores, "num_gpus": self.room.gpus, "scheduling_strategy": strategy}
        return ray.remote(HostActor).options(max_restarts=0, max_concurrency=THREADS, **options).remote()

    def release(self) -> None:
        self._released.set()
        if (group := self._group) is not None:
            from ray.util.placement_group import remove_placement_group

            with contextlib.suppress(Exception):  # the connection may be gone, and the room with it
                remove_placement_group(group)


class RayHost(Host):
    """A host behind an actor."""

    def __init__(
        self, launcher: RayLauncher, driver: str, environment: Mapping[str, str], log_path: Path, owner: Owner
    ) -> None:
        super().__init__(owner)
        self.stage = PLACING
        self._launcher = launcher
        self._log_path = log_path
        self._actor: Any = None
        self._wanted = threading.Event()
        self._wanted.set()
        self._outbox: queue.SimpleQueue[protocol.ToHost | None] = queue.SimpleQueue()
        log_path.touch()
        arguments = (driver, dict(environment))
        self._listener = threading.Thread(target=self._live, args=arguments, name="ray-host", daemon=True)
        self._listener.start()

    def kill(self, cause: str) -> None:
        waits = self.stage == PLACING and not self.dead.is_set()
        super().kill(f"no room on the cluster, it needs {self._launcher.room}: {cause}" if waits else cause)

    def send(self, message: protocol.ToHost) -> None:
        if isinstance(message, protocol.Load) and (asked := self._launcher.room.engine):
            message = replace(message, spec=replace(message.spec, engine={**message.spec.engine, **asked}))
        self._outbox.put(message)

    def close(self) -> None:
        self.kill("the engine was closed")
        self._listener.join(GONE_WITHIN_S)
        self._kill_actor()  # one that gives no sign is lost, and its group with it
        self._listener.join()

    def _end(self) -> None:
        self._wanted.clear()
        if self._actor is not None:
            with contextlib.suppress(Exception):  # it is lost already
                self._actor.end.remote()

    def _kill_actor(self) -> None:
        import ray

        if self._actor is not None:
            with contextlib.suppress(Exception):
                ray.kill(self._actor, no_restart=True)

    # --------------------------------------------------------------------------------- in its own threads

    def _live(self, driver: str, environment: dict[str, str]) -> None:
        how = "it was ended before it was started"
        try:
            self._actor = self._launcher.actor(self._wanted)
            if self._actor is not None:
                how = self._run(driver, environment)
        except EngineFault as fault:
            how = str(fault)
        except Exception as error:  # the actor or its node is lost, or it sent nonsense
            how = f"the engine host's actor was lost ({told(error)})"
        self._outbox.put(None)
        self._kill_actor()
        self._is_gone(how)

    def _run(self, driver: str, environment: dict[str, str]) -> str:
        """From its start to its end; how it ended."""
        import ray

        placed = ray.get(self._actor.start.remote(driver, environment, self._launcher.last))
        self._launcher.last, self.pid, self.stage = placed, placed.pid, IMPORTING
        if not self._wanted.is_set():
            self._end()
        threading.Thread(target=self._tell, name="ray-host-tell", daemon=True).start()
        while True:
            heard: Heard = ray.get(self._actor.hear.remote())
            self._keep(heard.log)
            for line in heard.lines:
                self._receive(protocol.decode(line))
            if heard.ended is not None:
                return heard.ended

    def _tell(self) -> None:
        """Pass messages on, those that came together at once, in their order: one call at a time is under way."""
        import ray

        with contextlib.suppress(Exception):  # who listens tells what became of the actor
            messages: list[protocol.ToHost | None] = []
            while None not in messages:
                messages = [self._outbox.get()]
                while not self._outbox.empty():
                    messages.append(self._outbox.get())
                lines = [protocol.encode(message) for message in messages if message is not None]
                ray.get(self._actor.tell.remote(b"".join(lines)))

    def _keep(self, log: bytes) -> None:
        if log:
            with self._log_path.open("ab") as file:
                file.write(log)
