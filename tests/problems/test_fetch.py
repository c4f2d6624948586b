"""`python -m pytest_llmeval fetch`, with a stand-in for the package datasets: no test reaches the network."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import published
import pytest

from pytest_llmeval import __main__ as commands
from pytest_llmeval.problems import evalplus, load_problem_set, sources
from pytest_llmeval.problems.sources import HUB


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that holds the rows it is given; remembers what it was asked for."""
    monkeypatch.setenv("PYTEST_LLMEVAL_CACHE", str(tmp_path))
    asked: list[tuple] = []

    def holds(name: str, *rows: dict) -> list[tuple]:
        def load_dataset(repository, config, *, split, revision):
            asked.append((repository, config, split, revision))
            return list(rows)

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        monkeypatch.setitem(sources.HUB, name, replace(HUB[name], problems=len(rows)))
        return asked

    return holds


def test_a_fetched_set_is_there_for_every_run_after(hub, capsys):
    asked = hub("mbppplus", published.HUB_SIMILAR)
    assert commands.main(["fetch", "mbppplus"]) == 0
    assert "mbppplus: 1 problems in " in capsys.readouterr().out
    assert asked == [("evalplus/mbppplus", None, "test", "b2d74c91837c3f2a20c1299ae98133cbe7cfa077")]
    found = load_problem_set("mbppplus")
    assert found.task_ids == ("Mbpp/2",)
    direct = evalplus.load_mbppplus(
        published.written(sources.cache_folder() / "hub.jsonl", published.HUB_SIMILAR)
    )
    assert found.problems[0] == direct.problems[0]


def test_all_splits_of_mbpp_come_in_the_order_of_their_numbers(hub):
    asked = hub("mbpp", published.SIZES, published.SANITIZED)
    assert commands.main(["fetch", "mbpp"]) == 0
    assert asked[0][:3] == ("google-research-datasets/mbpp", "sanitized", "train+test+validation+prompt")
    assert load_problem_set("mbpp").task_ids == ("Mbpp/56", "Mbpp/596")


def test_a_set_with_fewer_problems_than_published_is_not_written(hub, monkeypatch, capsys):
    hub("humanevalplus", published.HUB_DOUBLE)
    monkeypatch.setitem(sources.HUB, "humanevalplus", replace(HUB["humanevalplus"], problems=164))
    assert commands.main(["fetch", "humanevalplus"]) == 2
    assert "has 1 problems, expected 164: nothing was written" in capsys.readouterr().err
    assert not list(sources.cache_folder().iterdir())


def test_a_hub_that_cannot_be_reached_is_one_message_with_the_way_out(hub, monkeypatch, capsys):
    def unreachable(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=unreachable))
    assert commands.main(["fetch", "mbpp"]) == 2
    said = capsys.readouterr().err
    assert "google-research-datasets/mbpp cannot be fetched: ConnectionError: no route to host" in said
    assert "--llmeval-problems mbpp=FILE" in said


def test_without_the_package_datasets_its_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert commands.main(["fetch", "mbpp"]) == 2
    assert "pip install 'pytest-llmeval-bench[datasets]'" in capsys.readouterr().err
