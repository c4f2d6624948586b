"""Many users: output tokens a second and latencies, with ever more requests under way; the report marks the knee."""

import pytest

pytestmark = [pytest.mark.serving, pytest.mark.throughput]


@pytest.mark.parametrize("concurrency", [1, 2, 4, 8, 16, 32, 64, 128, 256])
def test_so_many_at_a_time(serving, sizes, concurrency, benchmark):
    if concurrency > sizes.most_concurrent:
        pytest.skip(f"this engine is measured with up to {sizes.most_concurrent} at a time (conftest.py)")
    measured = serving.concurrent(
        concurrency, prompt_tokens=128, output_tokens=sizes.output_tokens, requests=sizes.waves * concurrency
    )
    serving.report_timing(measured, benchmark)
    assert measured.complete, measured.explain()
