"""One user alone: time to the first token, time per token and response time, at growing prompt lengths."""

import pytest

pytestmark = [pytest.mark.serving, pytest.mark.latency]


@pytest.mark.parametrize("prompt_tokens", [128, 512, 2048, 8192, 16384, 32000])
def test_single_stream(serving, sizes, prompt_tokens, benchmark):
    measured = serving.single_stream(prompt_tokens, sizes.output_tokens, rounds=sizes.rounds)
    serving.report_timing(measured, benchmark)
    assert measured.complete, measured.explain()
