"""Does the context that models.toml promises fit, and where does the memory go?"""

import pytest

pytestmark = [pytest.mark.serving, pytest.mark.memory]


def test_the_promised_context_fits(serving, benchmark):
    measured = serving.whole_context()
    serving.report_timing(measured, benchmark)
    assert measured.complete, measured.explain()
    pool = measured.memory and measured.memory.kv_pool_tokens
    assert pool is None or pool >= measured.promised_tokens, f"the KV pool holds {pool} tokens"
