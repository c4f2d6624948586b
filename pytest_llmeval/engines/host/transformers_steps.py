"""What `generate()` of transformers does between two tokens for us: draw per row, and see which rows have ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from pytest_llmeval.engines.host.rows import Row
from pytest_llmeval.schema import Sampling


class Draw(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Draws each row's next token with the row's own seed and forbids all others; ends none too early.

    `generate()` has one random stream for a batch: with it, an answer would depend on its neighbours.
    """

    def __init__(self, rows: Sequence[Row], device: Any) -> None:
        self._short = [(index, row) for index, row in enumerate(rows) if row.is_short]
        self._rows = [
            (index, row.request.sampling, torch.Generator(device).manual_seed(row.request.sampling.seed))
            for index, row in enumerate(rows)
            if row.request.sampling.temperature
        ]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        for index, row in self._short:
            if row.is_short:
                scores[index, row.ends] = float("-inf")
        for index, sampling, generator in self._rows:
            weights = probabilities(scores[index], sampling)
            token = torch.multinomial(weights, 1, generator=generator)
            scores[index] = float("-inf")
            scores[index, token] = 0.0
        return scores


def probabilities(logits: Any, sampling: Sampling) -> Any:
    """The weights to draw from, cut as vLLM cuts them: temperature, min_p, top_k, then top_p."""
    weights = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    weights = torch.where(weights < sampling.min_p * weights.max(), 0.0, weights)
    ordered, order = weights.sort(descending=True)
    if sampling.top_k:
        ordered[sampling.top_k :] = 0.0
    ordered = ordered / ordered.sum()
    ordered[ordered.cumsum(0) - ordered >= sampling.top_p] = 0.0  # the token that crosses the bound stays
    return torch.zeros_like(weights).scatter(0, order, ordered)


class Ends(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped here
    """Tells each row its new token and reports which rows have ended."""

    def __init__(self, rows: Sequence[Row], ended: Callable[[Row], None], step: Callable[[], None]) -> None:
        self._rows = rows
        self._ended = ended
        self._step = step

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        self._step()
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            if row.finish_reason is None:
                row.take(token)
                if row.finish_reason is not None:
                    self._ended(row)
        done = [row.finish_reason is not None for row in self._rows]
        return torch.tensor(done, device=input_ids.device)
