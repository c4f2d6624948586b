"""What every engine host finds in its environment, whichever engine it drives."""

from __future__ import annotations

import os

from pytest_llmeval.schema import ModelSpec


def hub_token(spec: ModelSpec) -> dict[str, str]:
    """The hub token under the name that the hub's client reads, where the entry keeps it under another."""
    if spec.token_env != "HF_TOKEN" and spec.token_env in os.environ:
        return {"HF_TOKEN": os.environ[spec.token_env]}
    return {}
