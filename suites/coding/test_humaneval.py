"""HumanEval: does the generated function do what its docstring says?"""

import pytest


@pytest.mark.problems("humaneval")
def test_functional_correctness(record, benchmark):
    record.report_timing(benchmark)
    assert record.passed, record.explain()
