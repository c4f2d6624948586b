"""One parse at a time, where CPython needs it: our threads read answers while pytest reads test files.

CPython before 3.11.8 keeps the depth of the tree that `ast.parse` builds in one place for all threads. Where a
finalizer lets another thread parse in between, the first one ends with "AST constructor recursion depth
mismatch" (https://github.com/python/cpython/issues/106905). From pytest's own thread, which parses whenever it
shows a failure, that ends the session; 3.12 is free of it.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

COUNTS_FOR_ALL_THREADS = (3, 11, 0) <= sys.version_info < (3, 11, 8)


@contextmanager
def one_parse_at_a_time() -> Iterator[None]:
    """Within, `ast.parse` waits until no other thread is in it; where CPython is right, nothing is changed.

    A lock of our own would not do: the other party is pytest, which knows none.
    """
    if not COUNTS_FOR_ALL_THREADS:
        yield
        return
    parse, turn = ast.parse, threading.RLock()

    def parse_in_turn(*args: Any, **options: Any) -> Any:
        with turn:
            return parse(*args, **options)

    ast.parse = parse_in_turn
    try:
        yield
    finally:
        ast.parse = parse
