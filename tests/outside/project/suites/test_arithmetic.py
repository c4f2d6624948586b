import pytest


@pytest.mark.problems("arithmetic")
def test_arithmetic(record, benchmark):
    record.report_timing(benchmark)
    assert record.passed, record.explain()
