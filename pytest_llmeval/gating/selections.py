"""What a selection does to a verdict: parts chosen because they failed say nothing about a model."""

from __future__ import annotations

import pytest

from pytest_llmeval.options import only_shows

LAST_FAILED = "cache/lastfailed"


def why_biased(config: pytest.Config, stopped: bool) -> str:
    """Why the selected problems are a biased sample; empty where they are none.

    --lf asks what failed before: a model can only look better on it. --ff asks it first, which matters where the
    run stops early.
    """
    if config.getoption("lf", False) and config.cache and config.cache.get(LAST_FAILED, {}):
        return "--lf selects what failed before, a biased sample on which no model can be judged"
    if config.getoption("stepwise", False):
        return (
            "--stepwise goes on where a test failed before, a biased sample on which no model can be judged"
        )
    if stopped and config.getoption("failedfirst", False):
        return "--ff ran what failed before first, and the run stopped early, which leaves a biased sample"
    return ""


def nothing_runs(session: pytest.Session) -> bool:
    """True where pytest will run no item at all: collection failed, or was all that was asked for."""
    option = session.config.option
    collected_in_vain = session.testsfailed and not option.continue_on_collection_errors
    sets_up_alone = getattr(option, "setuponly", False)  # absent with -p no:setuponly
    return bool(collected_in_vain or sets_up_alone or only_shows(session.config))
