"""Counters of the out-of-memory killer, as cgroup v1, cgroup v2 and containers show them."""

from __future__ import annotations

import pytest

from pytest_llmeval.engines.host.memory_killer import KillCounts
from pytest_llmeval.units import GIB


@pytest.fixture
def machine(tmp_path):
    """Writes the files of a machine, and counts there."""

    def counts(**files: str) -> KillCounts:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return KillCounts.now(tmp_path)

    return counts


@pytest.mark.parametrize(
    ("own", "events", "limit", "folder"),
    [
        ("0::/pods/ours\n", "memory.events", "memory.max", "sys/fs/cgroup/pods/ours"),
        ("0::/outside/pods/ours\n", "memory.events", "memory.max", "sys/fs/cgroup"),
        (
            "9:pids:/\n4:memory:/pods/ours\n0::/\n",
            "memory.oom_control",
            "memory.limit_in_bytes",
            "sys/fs/cgroup/memory/pods/ours",
        ),
        ("4:memory:/outside\n", "memory.oom_control", "memory.limit_in_bytes", "sys/fs/cgroup/memory"),
    ],
    ids=["v2", "v2 in a container", "v1", "v1 in a container"],
)
def test_a_kill_at_the_containers_limit_is_told_with_the_limit(machine, own, events, limit, folder):
    told = {
        f"{folder}/{limit}": f"{2 * GIB}\n",
        "proc/self/cgroup": own,
        "proc/vmstat": "pgfault 7\noom_kill 3\n",
    }
    before = machine(**told, **{f"{folder}/{events}": "under_oom 0\noom_kill 1\n"})
    assert machine().since(before) == ""
    after = machine(**{f"{folder}/{events}": "under_oom 0\noom_kill 2\n", "proc/vmstat": "oom_kill 4\n"})
    assert after.since(before) == "by the out-of-memory killer, at the memory limit of this container: 2 GiB"


@pytest.mark.parametrize("limit", ["max\n", "9223372036854771712\n"])
def test_no_limit_is_no_figure(machine, limit):
    folder = "sys/fs/cgroup"
    files = {"proc/self/cgroup": "0::/\n", f"{folder}/memory.max": limit}
    before = machine(**files, **{f"{folder}/memory.events": "oom_kill 0\n"})
    assert before.limit_bytes is None
    after = machine(**{f"{folder}/memory.events": "oom_kill 1\n"})
    assert after.since(before).endswith("at the memory limit of this container")


def test_a_kill_elsewhere_on_the_machine_is_a_guess_and_said_so(machine):
    before = machine(**{"proc/vmstat": "oom_kill 0\n"})
    assert "most likely" in machine(**{"proc/vmstat": "oom_kill 1\n"}).since(before)


def test_where_the_kernel_tells_nothing_nothing_is_said(machine):
    assert machine() == KillCounts(None, None, None)
    assert machine().since(machine()) == ""
