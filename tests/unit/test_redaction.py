"""No secret in anything that people read."""

from __future__ import annotations

import pytest

from pytest_llmeval.redaction import redact, redacted, scrub, secrets_of
from pytest_llmeval.schema import ModelSpec

HUB_TOKEN = "hf_ABCDEFGHIJKLMNOPQRST"


def test_values_of_variables_that_are_named_like_secrets_and_what_looks_like_one():
    environ = {
        "HF_TOKEN": "abcdefgh12345",
        "PATH": "/usr/bin:/bin",
        "X_API_KEY": "short",
        "TOKENIZERS_X": "bigvalue",
    }
    text = redact(f"token abcdefgh12345 and {HUB_TOKEN}, /usr/bin:/bin short bigvalue", environ)
    assert text == "token *** and ***, /usr/bin:/bin short bigvalue"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET https://alice:pa55@host:8000/v1 failed", "GET https://***@host:8000/v1 failed"),
        ("https://host/v1?api_key=abc123&n=1", "https://host/v1?api_key=***&n=1"),
        ("{'Authorization': 'Bearer abcdef.ghi-jkl'}", "{'Authorization': 'Bearer ***'}"),
        ("git@host, a://b and max_tokens=400", "git@host, a://b and max_tokens=400"),
    ],
)
def test_shapes_of_secrets(text, expected):
    assert redact(text, {}) == expected


def test_an_entry_knows_its_own_secrets():
    spec = ModelSpec(
        "m",
        "org/model",
        token_env="TEAM_HUB",
        environment={"MY_PASSWORD": "from the table", "OMP_NUM_THREADS": "1"},
        engine={"hf_token": "in the engine table", "tokenizer": "org/tokenizer", "api_key_env": "SERVED"},
    )
    environ = {"TEAM_HUB": "of the hub of the team", "SERVED": "of the server"}
    expected = {"of the hub of the team", "from the table", "in the engine table", "of the server"}
    assert secrets_of(spec, environ) == expected


def test_a_table_keeps_its_shape():
    table = {
        "api_key": "anything",
        "tokenizer": "org/t",
        "max_num_batched_tokens": 64,
        "base_url": "https://u:p@host/v1",
        "extra_body": {"password": "x", "list": [HUB_TOKEN, 1]},
    }
    assert redacted(table, {}) == {
        "api_key": "***",
        "tokenizer": "org/t",
        "max_num_batched_tokens": 64,
        "base_url": "https://***@host/v1",
        "extra_body": {"password": "***", "list": ["***", 1]},
    }


def test_a_log_is_scrubbed_and_otherwise_left_as_it_is(tmp_path):
    log = tmp_path / "engine.log"
    log.write_bytes(b"args: {'hf_token': 'the one'} \xff\n" + HUB_TOKEN.encode() + b"\n")
    scrub(log, {"the one"})
    assert log.read_bytes() == b"args: {'hf_token': '***'} \xff\n***\n"
    scrub(tmp_path / "none.log", ())
