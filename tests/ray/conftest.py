"""One small cluster of this machine for all tests that need one; starting it takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("ray", reason="needs the extra ray: pip install 'pytest-llmeval-bench[ray]'")

from pytest_llmeval.ray_cluster.cluster import Cluster

CORES = 4  # declared, not counted: two scoring actors and two engines beside them


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster that runs of other processes connect to by its address; they inherit its token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_TMPDIR", "/nowhere")  # whatever `ray start` left here is not ours
        one = Cluster("auto", CORES)
        one.open()
        yield one
        one.close()
