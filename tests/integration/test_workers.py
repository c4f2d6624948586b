"""Under pytest-xdist models are refused clearly, and everything else runs."""

from __future__ import annotations

import pytest

pytest.importorskip("xdist")


def test_models_under_workers_are_a_usage_error_that_names_the_way_out(project, pytester):
    pytester.makepyfile(test_other="def test_other(): pass")
    result = project("-n2", "--llmeval-limit=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*models cannot be evaluated under pytest-xdist*leave -n out, or add -n0"])
    result.assert_outcomes(passed=1)


def test_n0_is_no_worker(project):
    project("-n0", "--llmeval-limit=2").assert_outcomes(passed=4)
