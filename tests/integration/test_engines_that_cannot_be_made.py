"""An engine whose table is wrong, or whose package is missing, is its own model's fault."""

from __future__ import annotations

import pytest

MISTAKEN = """
[models.mistaken]
kind = "openai"
model = "served"
categories = ["coding"]
engine = { base_url = "http://127.0.0.1:9/v1", concurency = 3 }
"""


@pytest.mark.parametrize("models", ["mistaken", "good,mistaken"], ids=["first", "next"])
def test_a_mistake_in_an_engine_table_faults_that_model_only(project, models):
    result = project("--llmeval-limit=2", f"--llmeval-models={models}", registry=MISTAKEN)
    result.assert_outcomes(passed=2 * ("good" in models), errors=2)
    result.stdout.fnmatch_lines(
        [
            "*engine mistaken did not start: models.mistaken: its engine table does not fit kind 'openai':",
            "*engine.concurency: unknown key; did you mean 'concurrency'?*",
        ]
    )
