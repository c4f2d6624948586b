"""The suite of `--llmeval-problems FILE`: does the generated function hold what its tests ask?"""

import pytest


@pytest.mark.problems("--llmeval-problems")
def test_functional_correctness(record, benchmark):  # type: ignore[no-untyped-def]  # as a user would write it
    record.report_timing(benchmark)
    assert record.passed, record.explain()
