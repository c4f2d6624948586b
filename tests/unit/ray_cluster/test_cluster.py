"""Which cluster is meant, and what is said where it cannot be used."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from pytest_llmeval import extensions
from pytest_llmeval.errors import ConfigurationError, MissingExtraError
from pytest_llmeval.ray_cluster import cluster, nodes
from pytest_llmeval.ray_cluster.cluster import Cluster, found, refusal


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_without_ray_one_paragraph_names_the_extra(monkeypatch):
    monkeypatch.setattr(extensions, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--llmeval-ray needs the package 'ray'.*bench\[ray\]'"):
        Cluster("auto", 1).open()


def test_an_address_where_nothing_answers_is_told_at_once():
    with pytest.raises(ConfigurationError, match=r"--llmeval-ray=127\.0\.0\.1:1: nothing answers there"):
        cluster.connect("127.0.0.1:1")


def test_auto_takes_the_cluster_that_ray_start_left_running(tmp_path, listening):
    note = tmp_path / "ray/ray_current_cluster"
    note.parent.mkdir()
    note.write_text(listening)
    assert found("auto", {"RAY_TMPDIR": str(tmp_path)}) == listening
    assert found("auto", {"RAY_TMPDIR": str(tmp_path), "RAY_ADDRESS": "10.0.0.7:6379"}) == "10.0.0.7:6379"
    assert found("head:6379", {"RAY_ADDRESS": "10.0.0.7:6379"}) == "head:6379"


def test_auto_starts_one_where_the_noted_cluster_is_gone(tmp_path, listening):
    note = tmp_path / "ray/ray_current_cluster"
    note.parent.mkdir()
    note.write_text("127.0.0.1:1")
    assert found("auto", {"RAY_TMPDIR": str(tmp_path)}) is None
    assert found("auto", {"RAY_TMPDIR": "/nowhere"}) is None


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            RuntimeError("Version mismatch: The cluster was started with: Ray: 2.9.0"),
            "cluster's versions of Ray",
        ),
        (ConnectionError("Authentication failed: no token"), "Set RAY_AUTH_TOKEN"),
        (ValueError("something\nelse"), "address of a head node"),
    ],
)
def test_a_refusal_says_in_one_line_what_to_do(error, advice):
    text = str(refusal("head:6379", error))
    assert text.startswith("--llmeval-ray=head:6379: the cluster refuses this run: ")
    assert advice in text
    assert "\n" not in text


HERE = nodes.Node("1", "10.0.0.1", 8.0, 0.0, nodes.facts())


def test_a_node_with_other_code_is_refused_by_name():
    assert HERE.facts is not None
    nodes.refuse_strangers([HERE])
    other = replace(HERE, address="10.0.0.2", facts=replace(HERE.facts, host="old", digest="0123"))
    with pytest.raises(ConfigurationError, match=r"node 10\.0\.0\.2 \(old\) has pytest_llmeval .* \(0123\)"):
        nodes.refuse_strangers([HERE, other])


def test_a_node_without_our_package_is_refused_with_what_it_said():
    bare = replace(HERE, address="10.0.0.3", facts=None, trouble="No module named 'pytest_llmeval'")
    with pytest.raises(ConfigurationError, match=r"10\.0\.0\.3 cannot run this package \(No module named"):
        nodes.refuse_strangers([bare])
