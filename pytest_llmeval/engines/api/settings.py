"""The `engine` table of a model that a server answers for."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pytest_llmeval.engines.tables import EngineTable

# Names of variables as people write them. A key pasted here by mistake must not pass, for names are printed.
VARIABLE_NAME = r"^[A-Z_][A-Z0-9_]*$"


class Settings(EngineTable):
    """How a server is reached. `request_timeout_s` is for one attempt, `max_retries` for further ones.

    `max_model_len` is the server's window in tokens, where it does not say so itself.
    """

    base_url: str
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = Field(default=32, ge=1)
    request_timeout_s: float = Field(default=600.0, gt=0)
    max_retries: int = Field(default=5, ge=0)
    max_model_len: int | None = Field(default=None, ge=2)
    extra_body: dict[str, Any] = Field(default_factory=dict)

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError('must be an address such as "http://127.0.0.1:8000/v1"')
        if "@" in url.netloc or url.query or url.fragment:
            raise ValueError("holds scheme, host and path only; secrets belong into engine.api_key_env")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _name_of_a_variable(cls, value: str) -> str:
        if not re.match(VARIABLE_NAME, value):
            raise ValueError("must be the name of an environment variable (capitals, digits, '_'), not a key")
        return value
