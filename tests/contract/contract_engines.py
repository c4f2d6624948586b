"""Our engines, made for tests."""

from __future__ import annotations

import asyncio

from pytest_llmeval.engines.openai import OpenAIEngine


class Impatient(OpenAIEngine):
    """Does not wait between tries."""

    def __init__(self, spec, context):
        super().__init__(spec, context, sleep=lambda seconds: asyncio.sleep(0))
