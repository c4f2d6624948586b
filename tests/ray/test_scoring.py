"""Judging on a cluster: the verdicts are those of a run without one, whatever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from sessions import (
    actors,
    ended,
    finished,
    judged,
    manifest,
    started,
    survivors,
    until,
    verdicts,
    write_samples,
)


def test_killing_a_scoring_actor_changes_no_verdict(cluster, tmp_path):
    samples = f"--llmeval-samples={write_samples(tmp_path / 'samples.jsonl', 80)}"
    on_ray, plain = tmp_path / "ray", tmp_path / "plain"
    two = "--llmeval-sandbox-workers=2"
    with ended(started(on_ray, samples, two, f"--llmeval-ray={cluster.address}")) as process:
        until(lambda: judged(on_ray), process)
        os.kill(actors("ScoringActor", os.getpid())[0].pid, signal.SIGKILL)
        output = finished(process)
    finished(started(plain, samples))
    assert verdicts(on_ray) == verdicts(plain)
    assert len(verdicts(on_ray)) == 80
    told = manifest(on_ray)
    assert told["sandbox"]["workers_replaced"] >= 1
    assert told["sandbox"]["level"] == manifest(plain)["sandbox"]["level"]
    assert sum(sum(levels.values()) for levels in told["ray"]["scoring_actors"].values()) == 2
    assert f"ray: a cluster at {cluster.address}; 2 scoring actors on 1 of 1 nodes" in output


def test_an_interrupted_run_leaves_no_actor_on_a_cluster_of_others(cluster, tmp_path):
    samples = f"--llmeval-samples={write_samples(tmp_path / 'samples.jsonl', 80)}"
    with ended(started(tmp_path, samples, f"--llmeval-ray={cluster.address}")) as process:
        until(lambda: judged(tmp_path), process)
        running = actors("ScoringActor", os.getpid())
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert running
    assert not survivors(running)
    assert verdicts(tmp_path), "what had been judged is kept"


def test_nothing_is_left_of_actors_that_are_ended_at_work(tmp_path):
    """At level C a worker's programs have a folder of its own, and Ray gives nobody time to tidy up."""
    samples = f"--llmeval-samples={write_samples(tmp_path / 'samples.jsonl', 4)}"
    options = ("--llmeval-ray=auto", "--llmeval-sandbox=C", "--llmeval-sandbox-workers=2")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray-") as temporary:  # short: Ray has sockets there
        with ended(started(tmp_path, samples, *options, TMPDIR=temporary, RAY_TMPDIR="/nowhere")) as process:
            finished(process)
        assert len(verdicts(tmp_path)) == 4
        assert not list(Path(temporary).glob("llmeval-*"))
