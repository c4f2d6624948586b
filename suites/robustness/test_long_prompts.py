"""A problem in up to 100,000 tokens of code: the right answer, or a prompt that was cut cleanly; never a crash."""

import pytest


@pytest.mark.problems("long_prompts")
def test_right_answer_or_clean_truncation(record, benchmark):
    record.report_timing(benchmark)
    assert record.passed or record.was_cut, record.explain()
