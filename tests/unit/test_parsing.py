"""Threads that parse at once: `ast.parse` itself goes wrong on CPython before 3.11.8."""

from __future__ import annotations

import ast
import sys
import threading

from pytest_llmeval.parsing import COUNTS_FOR_ALL_THREADS, one_parse_at_a_time

SOURCE = "\n".join(
    f"def f{i}(a, b):\n    return [a + b * {i} for c in (a, [b, {{1: c}}])]" for i in range(200)
)
THREADS, ROUNDS = 3, 25


class Collectable:
    """Garbage with a finalizer in Python: what lets another thread in while a tree is built."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        for _ in range(200):
            pass


def mismatches() -> int:
    """How many parses of several threads at once end in CPython's own SystemError."""
    failed: list[str] = []

    def parse_again_and_again() -> None:
        for _ in range(ROUNDS):
            for _ in range(20):
                Collectable()
            try:
                ast.parse(SOURCE)
            except SystemError as error:
                failed.append(str(error))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=parse_again_and_again) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return len(failed)


def test_threads_that_parse_at_once_do_not_disturb_each_other():
    with one_parse_at_a_time():
        assert mismatches() == 0


def test_the_guard_is_there_only_where_it_is_needed_and_gone_afterwards():
    before = ast.parse
    with one_parse_at_a_time():
        assert (ast.parse is not before) == COUNTS_FOR_ALL_THREADS
        assert ast.dump(ast.parse("x = 1", mode="exec", type_comments=True)) == ast.dump(before("x = 1"))
    assert ast.parse is before
