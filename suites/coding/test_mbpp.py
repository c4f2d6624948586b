"""MBPP (sanitized): does the generated function hold its task's assertions?"""

import pytest


@pytest.mark.problems("mbpp")
def test_functional_correctness(record, benchmark):
    record.report_timing(benchmark)
    assert record.passed, record.explain()
