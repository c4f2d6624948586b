"""The module `random` without its habit of starting anew in every forked process.

Verdicts must not depend on chance: each sample starts where the zygote stands, at no cost to any of them.
"""

from __future__ import annotations

import os
from typing import Any


def _forget(**_: Any) -> None:
    """In place of os.register_at_fork, which knows no way back."""


_register, os.register_at_fork = os.register_at_fork, _forget
import random as random  # noqa: E402

os.register_at_fork = _register
random.seed(0)
START = random.getstate()
