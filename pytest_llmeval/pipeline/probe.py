"""The single-stream probe: after a model's batch has drained, some of its tasks again, one at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from pytest_llmeval.engines import Engine
from pytest_llmeval.schema import Completion, Request, Task

WARM_UPS = 2


def draw(tasks: Sequence[Task], count: int, seed: int) -> list[Task]:
    """Up to `count` of the tasks, the same ones for the same seed."""
    return random.Random(seed).sample(list(tasks), min(count, len(tasks)))


def probe(
    engine: Engine,
    tasks: Sequence[Task],
    ask: Callable[[Task], Request],
    told: Callable[[str], None] = lambda detail: None,
) -> list[Completion]:
    """Ask each task alone. Warm-ups come first and the prefix cache is emptied after them; nothing is judged.

    Raises:
        EngineFault: the engine died, or refused a request.
    """
    for task in tasks[:WARM_UPS]:
        engine.submit(ask(task)).result()
    engine.reset_cache()
    return list(_one_at_a_time(engine, tasks, ask, told))


def _one_at_a_time(
    engine: Engine, tasks: Sequence[Task], ask: Callable[[Task], Request], told: Callable[[str], None]
) -> Iterator[Completion]:
    for number, task in enumerate(tasks, 1):
        told(f"{number} of {len(tasks)}")
        yield engine.submit(ask(task)).result()
