"""Requests arrive by chance: which share of them is served within the limits?

The share is reported. To hold a model to it, add `assert measured.share_within >= 0.99`.
"""

import pytest

from pytest_llmeval.metrics.latency import Limits

pytestmark = [pytest.mark.serving, pytest.mark.goodput]

LIMITS = Limits(ttft_s=0.5, itl_s=0.05)


@pytest.mark.parametrize("requests_per_s", [1, 4, 16])
def test_poisson_arrivals(serving, sizes, requests_per_s, benchmark):
    count = min(sizes.arrivals, 10 * requests_per_s)
    measured = serving.arriving(requests_per_s, LIMITS, 128, sizes.output_tokens, requests=count)
    serving.report_timing(measured, benchmark)
    assert measured.complete, measured.explain()
