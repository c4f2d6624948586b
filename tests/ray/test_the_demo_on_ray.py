"""`--llmeval-ray=auto` on a real vLLM engine, in a cluster that lives as long as the run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from sessions import actors, ended, family, finished, started, survivors, until, verdicts

pytest.importorskip("vllm", reason="needs the CPU environment: make setup")
pytestmark = pytest.mark.long

DEMO = ("-m", "demo", "--llmeval-models=tiny_coder", "--llmeval-limit=32")
RAY = ("--llmeval-ray=auto", "--llmeval-sandbox-workers=2")


def left_in(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if len(path.relative_to(home).parts) < 3}


def test_killing_an_engine_and_a_scoring_actor_changes_no_verdict_and_nothing_is_left(tmp_path):
    """Beside a run without Ray, because both wait most of the time."""
    plain, on_ray = tmp_path / "plain", tmp_path / "ray"
    homes = {name: tmp_path / f"home of {name}" for name in ("plain", "ray")}
    for home in homes.values():
        home.mkdir()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray-") as temporary:  # short: Ray has sockets there
        own = {"HOME": str(homes["ray"]), "TMPDIR": temporary, "RAY_TMPDIR": "/nowhere"}
        beside = started(plain, *DEMO, HOME=str(homes["plain"]))
        with ended(beside), ended(started(on_ray, *DEMO, *RAY, **own)) as process:
            answers = on_ray / "latest/generations.jsonl"
            until(lambda: answers.exists() and answers.read_bytes().count(b"\n") >= 1, process)
            running = family(process.pid)
            actors("HostActor", process.pid)[0].kill()
            actors("ScoringActor", process.pid)[0].kill()
            output = finished(process)
            finished(beside)
        assert not survivors(running)
        assert not list(Path(temporary).glob("llmeval-*"))
    assert left_in(homes["ray"]) == left_in(homes["plain"]), "Ray writes nothing there"
    assert verdicts(on_ray) == verdicts(plain)
    assert len(verdicts(on_ray)) == 32
    assert "ray: a cluster started here for this run; 2 scoring actors on 1 of 1 nodes" in output
    assert "tiny_coder: note: the engine died (the engine host's actor was lost" in output
