"""Which worker gets which items: all of a worker's share at once, because a model is asked for all it has at once.

pytest-xdist hands out items as workers get through them; each worker would ask a few questions at a time, and a server
would idle. Controller and workers compute the same shares from the ids of the items, which both know, so nothing needs
to be told: a worker that is given the first item of a share asks for the whole share.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.shards import deal


def shares_of(nodeids: Iterable[str], models: Iterable[str], workers: int) -> dict[str, int]:
    """Id of an item of ours → its share; items of one problem share one, whatever the model and the test."""
    names = "|".join(sorted(map(re.escape, models), key=len, reverse=True))
    parameters = re.compile(rf"\[(?:.*-)?(?:{names})(?:-(.*))?\](?:@[^\]]*)?$", re.DOTALL)
    asked = {nodeid: found[1] or "" for nodeid in nodeids if names and (found := parameters.search(nodeid))}
    parts = deal(asked.values(), workers)
    return {nodeid: parts[problem] for nodeid, problem in asked.items()}


def check_distribution(config: pytest.Config) -> int:
    """How many workers there will be; refuses what cannot be put together again.

    Raises:
        ConfigurationError: every worker would run every item, or workers are on other machines.
    """
    import execnet
    from xdist.workermanage import parse_tx_spec_config

    if config.getoption("dist") == "each":
        raise ConfigurationError("--dist each would ask every model everything in each worker: leave it out")
    workers: list[str] = parse_tx_spec_config(config)
    if any(not execnet.XSpec(spec).popen for spec in workers):
        raise ConfigurationError(
            "--tx: workers on other machines leave their Records there. Use --llmeval-shard on each machine, and "
            "python -m pytest_llmeval report RUN RUN ... to make one run of them"
        )
    return len(workers)


def make_scheduler(config: pytest.Config, log: Any, models: Iterable[str]) -> Any:
    """Our items by shares, and all others as the user's --dist would have them."""
    from xdist import scheduler
    from xdist.scheduler.loadscope import LoadScopeScheduling

    names = list(models)
    chosen: dict[str, Any] = {
        "loadscope": scheduler.LoadScopeScheduling,
        "loadfile": scheduler.LoadFileScheduling,
        "loadgroup": scheduler.LoadGroupScheduling,
    }

    class DealtAtOnce(LoadScopeScheduling):  # type: ignore[misc]  # xdist is not typed here
        """A share is a scope: it goes to one worker whole, and again whole to another where that one is lost."""

        def __init__(self) -> None:
            super().__init__(config, log)
            self._shares: dict[str, int] | None = None
            other = chosen.get(config.getoption("dist"))
            self._other: Callable[[str], str] = other(config, log)._split_scope if other else str

        def _split_scope(self, nodeid: str) -> str:
            if self._shares is None:
                collected = next(iter(self.registered_collections.values()))
                self._shares = shares_of(collected, names, self.numnodes)
            share = self._shares.get(nodeid)
            return f"llmeval share {share}" if share else self._other(nodeid)

    return DealtAtOnce()
