"""How the transformers driver draws. In a process of its own: pytest's never imports torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("transformers", reason="needs the extra transformers")

PROGRAM = """
import json, sys, torch
from pytest_llmeval.engines.host.transformers_steps import probabilities
from pytest_llmeval.schema import Sampling
logits = torch.tensor([0.1, 0.5, 0.3, 0.1 + 1e-9]).log()
cases = json.loads(sys.argv[1])
json.dump([probabilities(logits, Sampling(**case)).tolist() for case in cases], sys.stdout)
"""

CASES = [
    ({"temperature": 1.0}, [0.1, 0.5, 0.3, 0.1]),
    ({"temperature": 0.5}, [1 / 36, 25 / 36, 9 / 36, 1 / 36]),
    ({"temperature": 1.0, "top_k": 2}, [0, 5 / 8, 3 / 8, 0]),
    ({"temperature": 1.0, "top_k": 99}, [0.1, 0.5, 0.3, 0.1]),
    ({"temperature": 1.0, "top_p": 0.7}, [0, 5 / 8, 3 / 8, 0]),
    ({"temperature": 1.0, "top_p": 0.01}, [0, 1, 0, 0]),
    ({"temperature": 1.0, "min_p": 0.5}, [0, 5 / 8, 3 / 8, 0]),
    # top_p counts what top_k left: 5/8 is below 0.6 no more.
    ({"temperature": 1.0, "top_k": 2, "top_p": 0.6}, [0, 1, 0, 0]),
]


@pytest.fixture(scope="module")
def weights():
    cases = json.dumps([case for case, _ in CASES])
    done = subprocess.run([sys.executable, "-c", PROGRAM, cases], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("index", range(len(CASES)), ids=[str(case) for case, _ in CASES])
def test_tokens_are_cut_and_weighed_as_asked(weights, index):
    asked, expected = weights[index], CASES[index][1]
    total = sum(asked)
    assert [weight / total for weight in asked] == pytest.approx(expected, abs=1e-6)
