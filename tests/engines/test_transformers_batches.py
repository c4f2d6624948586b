"""What becomes of a batch that fails under way. In a process of its own: pytest's never imports torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("transformers", reason="needs the extra transformers")

PROGRAM = """
import json, sys
from pytest_llmeval.engines.host.rows import Place, Row
from pytest_llmeval.engines.host.transformers_driver import TransformersDriver
from pytest_llmeval.prompting.rendering import Rendering
from pytest_llmeval.prompting.windows import Windows
from pytest_llmeval.schema import Prompt, PromptStyle, Request, Sampling

class Tokenizer:
    def decode(self, tokens, **_):
        return "".join(["zero", "one"][token] for token in tokens)  # a token beyond the vocabulary: IndexError

class Outbox(list):
    send = list.append

def row(name):
    request = Request(name, "task", Prompt(PromptStyle.COMPLETION, ""), Sampling(max_tokens=1))
    return Row(request, Rendering([0]), Place(0, Windows(1)), Tokenizer(), frozenset())

def generate(rows, ended, step):
    for each, token in zip(rows, [1, 99, 1]):
        each.take(token)
        ended(each)

driver, outbox = TransformersDriver(), Outbox()
driver.generate = generate
driver.answer([row("good"), row("beyond the vocabulary"), row("behind it")], outbox, None)
json.dump([[message.request_id, message.type] for message in outbox], sys.stdout)
"""


def test_every_request_of_a_batch_is_answered_or_refused_also_where_reading_an_answer_fails():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        ["good", "done"],
        ["beyond the vocabulary", "request_failed"],
        ["behind it", "request_failed"],
    ]
