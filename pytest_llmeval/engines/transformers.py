"""transformers in an engine host, where vLLM has no build: this module imports nothing of transformers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pytest_llmeval.devices.occupancy import cards_of
from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.host.environment import hub_token
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.engines.tables import EngineTable, read_table
from pytest_llmeval.extensions import require
from pytest_llmeval.schema import ModelSpec

DRIVER = "pytest_llmeval.engines.host.transformers_driver:TransformersDriver"


class Settings(EngineTable):
    """How transformers loads and generates.

    `max_model_len` is in tokens, prompt and answer together; without it the model's own limit holds.
    `from_pretrained` goes to `AutoModelForCausalLM.from_pretrained` as it is.
    """

    batch_size: int = Field(default=8, ge=1)
    max_model_len: int | None = Field(default=None, ge=2)
    dtype: str = "auto"
    device: str | None = None
    trust_remote_code: bool = False
    from_pretrained: dict[str, Any] = Field(default_factory=dict)


class TransformersEngine(HostedEngine):
    """One model under `generate()`, in a process group of its own, in batches of what waits.

    `close()` kills the group and with it frees the memory.
    """

    synthetic = True

    def __init__(self, spec: ModelSpec, context: EngineContext) -> None:
        read_table(spec, Settings)  # a mistake in the table is told before a process starts
        if context.launchers is None:
            require("transformers", "torch", "transformers")
        environment = {**context.placed, **hub_token(spec), **spec.environment}
        cards = [] if context.launchers else cards_of(spec, context.environ)
        super().__init__(spec, context, driver=DRIVER, environment=environment, cards=cards)
