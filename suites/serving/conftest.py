"""How large the serving measurements are. A CPU engine gets small ones: the whole folder takes a minute or two."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Sizes:
    output_tokens: int  # of every answer, exactly
    rounds: int  # of a single-stream measurement
    waves: int  # a throughput level sends this many requests for each one under way
    arrivals: int  # requests of an open-loop measurement
    most_concurrent: int


@pytest.fixture
def sizes(serving) -> Sizes:
    if serving.on_gpu:
        return Sizes(output_tokens=256, rounds=10, waves=4, arrivals=200, most_concurrent=256)
    return Sizes(output_tokens=32, rounds=5, waves=2, arrivals=24, most_concurrent=32)
