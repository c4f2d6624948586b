"""A request that is asked in several windows, each a request of its own to the model."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def all_or_none(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them give; the first that fails calls the others off, which would keep places busy."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
