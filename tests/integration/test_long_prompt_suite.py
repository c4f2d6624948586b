"""The suite of long prompts: only where it is chosen, with its table in every report."""

from __future__ import annotations

import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SUITE = (REPOSITORY / "suites/robustness/test_long_prompts.py").read_text()


def test_it_runs_where_it_is_chosen_and_tells_accuracy_by_length(project, pytester, records):
    pytester.makepyfile(test_long=SUITE)
    done = project(
        "-m", "long_prompts", "-k", "4K and not 64K", "--llmeval-models=good", "--llmeval-probe=off"
    )
    done.assert_outcomes(passed=12, deselected=224)
    done.stdout.fnmatch_lines(["*Long prompts: right answers by length*", "good * 4K *4 of 4 right*"])
    rows = json.loads(Path("reports/latest/summary.json").read_text())["models"]["good"]["figures"][
        "by_length"
    ]
    assert {row["position"] for row in rows} == {"head", "middle", "tail"}
    assert "4 of 4 right" in Path("reports/latest/report.html").read_text()
    assert all(record.padding.tokens == 4000 for record in records())


def test_a_run_that_did_not_choose_it_leaves_it_out(project, pytester):
    (pytester.mkdir("robustness") / "test_long.py").write_text(SUITE)
    for chosen in (["-m", "coding"], []):
        done = project("--collect-only", "-q", *chosen)
        assert "HumanEval/0]" in done.stdout.str()
        assert "1K-head" not in done.stdout.str()
    assert "1K-head" in project("--collect-only", "-q", "robustness").stdout.str()
