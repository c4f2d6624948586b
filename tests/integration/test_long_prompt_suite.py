"""The suite of long prompts: only where it is chosen, with its table in every report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SUITE = (REPOSITORY / "suites/robustness/test_long_prompts.py").read_text()
CHOSEN = """
import pytest

@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.long_prompts
def test_long(length): pass

@pytest.mark.serving
@pytest.mark.latency
def test_latency(): pass
"""


def test_it_runs_where_it_is_chosen_and_tells_accuracy_by_length(project, pytester, records):
    pytester.makepyfile(test_long=SUITE)
    done = project(
        "-m", "long_prompts", "-k", "4K and not 64K", "--llmeval-models=good", "--llmeval-probe=off"
    )
    done.assert_outcomes(passed=12, deselected=224)
    done.stdout.fnmatch_lines(["*Long prompts: right answers by length*", "good * 4K *4 of 4 right*"])
    good = json.loads(Path("reports/latest/summary.json").read_text())["models"]["good"]
    [rows] = [figures["by_length"] for figures in good["problem_sets"].values()]
    assert {row["position"] for row in rows} == {"head", "middle", "tail"}
    assert "4 of 4 right" in Path("reports/latest/report.html").read_text()
    assert all(record.padding.tokens == 4000 for record in records())


@pytest.mark.parametrize(
    ("expression", "items"),
    [("not small", 0), ("not memory", 0), ("long_prompts", 2), ("latency or coding", 1)],
)
def test_an_expression_chooses_what_it_asks_for_and_nothing_by_the_way(project, pytester, expression, items):
    """`-m "not small"` ran 100,000 tokens of prompts and every measurement besides."""
    pytester.makepyfile(test_humaneval="")
    (pytester.mkdir("below") / "test_chosen.py").write_text(CHOSEN)
    project("-m", expression).assert_outcomes(passed=items, deselected=3 - items)


def test_a_package_that_is_named_is_chosen_like_its_folder(project, pytester):
    pytester.makepyfile(test_humaneval="")
    for folder in ("suites_of_mine", "suites_of_mine/serving"):
        (pytester.mkdir(folder) / "__init__.py").write_text("")
    (pytester.path / "suites_of_mine/serving/test_chosen.py").write_text(CHOSEN)
    pytester.syspathinsert()
    project("--pyargs", "suites_of_mine.serving").assert_outcomes(passed=3)
    project("--pyargs", "suites_of_mine.serving.test_chosen").assert_outcomes(passed=3)
    project("--pyargs", "suites_of_mine").assert_outcomes(deselected=3)


def test_a_run_that_did_not_choose_it_leaves_it_out(project, pytester):
    (pytester.mkdir("robustness") / "test_long.py").write_text(SUITE)
    for chosen in (["-m", "coding"], []):
        done = project("--collect-only", "-q", *chosen)
        assert "HumanEval/0]" in done.stdout.str()
        assert "1K-head" not in done.stdout.str()
    assert "1K-head" in project("--collect-only", "-q", "robustness").stdout.str()
