"""Loads whose bytes and floating-point operations are known beforehand, in torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

GIB = 1 << 30


@dataclass(frozen=True)
class Sizes:
    """How large the loads are; `rehearsal` fits a CPU and means nothing."""

    held_bytes: int
    copied_bytes: int
    matrix: int
    chunk_rows: int
    seconds: float

    @classmethod
    def real(cls) -> Sizes:
        return cls(held_bytes=8 * GIB, copied_bytes=4 * GIB, matrix=8192, chunk_rows=65536, seconds=4.0)

    @classmethod
    def rehearsal(cls) -> Sizes:
        return cls(held_bytes=1 << 26, copied_bytes=1 << 24, matrix=256, chunk_rows=256, seconds=0.5)


@dataclass(frozen=True)
class Done:
    """What a load did: `amount` bytes or operations in `seconds`."""

    amount: float
    seconds: float

    @property
    def rate(self) -> float:
        return self.amount / self.seconds


class Loads:
    """Runs loads on one device; `wait` blocks until the device has finished."""

    def __init__(self, device: str, sizes: Sizes) -> None:
        self.device = device
        self.sizes = sizes

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def repeat(self, once: Callable[[], object], amount: float, seconds: float | None = None) -> Done:
        """Repeat a load for `seconds`; at most ten launches are under way, so that the end is near the clock's."""
        once()
        self.wait()
        limit, rounds = seconds or self.sizes.seconds, 0
        started = time.perf_counter()
        while time.perf_counter() - started < limit:
            for _ in range(10):
                once()
            self.wait()
            rounds += 10
        return Done(rounds * amount, time.perf_counter() - started)

    def hold(self) -> torch.Tensor:
        """Known bytes, written once so that they exist."""
        return torch.ones(self.sizes.held_bytes, dtype=torch.uint8, device=self.device)

    def copy(self) -> Done:
        """Each byte is read once and written once."""
        source = torch.ones(self.sizes.copied_bytes, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        return self.repeat(lambda: target.copy_(source), 2 * self.sizes.copied_bytes)

    def multiply(self, seconds: float | None = None) -> Done:
        """Square bfloat16 matrices: 2 n³ operations."""
        size = self.sizes.matrix
        one = torch.randn(size, size, dtype=torch.bfloat16, device=self.device)
        return self.repeat(lambda: one @ one, 2.0 * size**3, seconds)

    def one_multiprocessor(self) -> Done:
        """A kernel of one thread that only waits: the device is 'busy' and does nothing."""
        if self.device != "cuda":
            return self.repeat(lambda: time.sleep(0.001), 0.0)
        return self.repeat(lambda: torch.cuda._sleep(20_000_000), 0.0)

    def idle(self) -> Done:
        time.sleep(self.sizes.seconds)
        return Done(0.0, self.sizes.seconds)

    def half_busy(self) -> Done:
        """Multiplies for 50 ms, waits for 50 ms."""
        size = self.sizes.matrix
        one = torch.randn(size, size, dtype=torch.bfloat16, device=self.device)
        started = time.perf_counter()
        while time.perf_counter() - started < self.sizes.seconds:
            began = time.perf_counter()
            while time.perf_counter() - began < 0.05:
                one @ one
                self.wait()
            time.sleep(0.05)
        return Done(0.0, time.perf_counter() - started)

    def read_weights(self, total_bytes: int, seconds: float = 3.0) -> Done:
        """Decode-like: every 'weight' is multiplied with one vector, once per 'token'; bytes read a second."""
        columns = 8192 if self.device == "cuda" else 256
        rows = self.sizes.chunk_rows
        chunk_bytes = 2 * rows * columns
        chunks = max(1, round(total_bytes / chunk_bytes))
        kind: dict[str, Any] = {"dtype": torch.bfloat16, "device": self.device}
        weights = [torch.randn(rows, columns, **kind) for _ in range(chunks)]
        vector = torch.randn(columns, **kind)

        def token() -> None:
            for chunk in weights:
                torch.mv(chunk, vector)

        token()
        self.wait()
        started, tokens = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            token()
            self.wait()
            tokens += 1
        done = Done(float(tokens * chunks * chunk_bytes), time.perf_counter() - started)
        weights.clear()
        if self.device == "cuda":
            torch.cuda.empty_cache()
        return done
