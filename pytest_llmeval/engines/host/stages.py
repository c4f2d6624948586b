"""What an engine is doing while it loads, read from its own log as it grows."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_llmeval.units import GIB

LOADING = "loading"

# What vLLM (0.26 to 0.33) writes when a stage begins or the one before it ends; transformers has its own bar.
STAGES = (
    (
        r"Starting to load model|Loading safetensors|Loading checkpoint shards|Loading weights:",
        "loading weights",
    ),
    (r"Model loading took", "measuring memory"),
    (
        r"Warming up model for the compilation|for vLLM's torch\.compile|Dynamo bytecode|Compiling a graph",
        "compiling",
    ),
    (r"torch\.compile took|Warming up done", "measuring memory"),
    (r"KV cache size", "reserving the KV cache"),
    (r"Capturing CUDA ?graphs|Profiling CUDA graph", "capturing graphs"),
    (r"Graph capturing finished|init engine \(profile", "warming up"),
)
_BEGINS = re.compile("|".join(f"(?P<s{number}>{pattern})" for number, (pattern, _) in enumerate(STAGES)))
_GRAPHS = re.compile(r"Graph capturing finished in .*?took (-?[\d.]+) GiB")


def stage_of(text: str, before: str = LOADING) -> str:
    """The stage that a piece of log ends in; `before` where it tells of none."""
    for found in _BEGINS.finditer(text):
        before = STAGES[int(str(found.lastgroup)[1:])][1]
    return before


def graphs_bytes(text: str) -> int | None:
    """What captured graphs took, to a hundredth of a GiB: vLLM tells it in its log alone."""
    found = _GRAPHS.findall(text)
    return round(sum(map(float, found)) * GIB) if found else None


class LogStages:
    """Follows a log from its present end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = self._read = path.stat().st_size if path.exists() else 0
        self._stage = LOADING

    def current(self) -> str:
        """The stage now; reads what was written since the last call."""
        new = self._after(self._read)
        self._read += len(new)
        self._stage = stage_of(new.decode("utf-8", "replace"), self._stage)
        return self._stage

    def text(self) -> str:
        """Everything written so far."""
        return self._after(self._start).decode("utf-8", "replace")

    def _after(self, offset: int) -> bytes:
        try:
            with self._path.open("rb") as log:
                log.seek(offset)
                return log.read()
        except OSError:  # removed meanwhile: a stage is a word for people who wait, and no more
            return b""
