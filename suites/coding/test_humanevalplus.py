"""HumanEval+: does the function also hold under EvalPlus's additional inputs?"""

import pytest


@pytest.mark.problems("humanevalplus")
def test_functional_correctness(record, benchmark):
    record.report_timing(benchmark)
    assert record.passed, record.explain()
