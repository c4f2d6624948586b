"""Mean speeds over requests, taken one by one: of a million, nothing but numbers is kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from pytest_llmeval.schema import Completion, Timing


@dataclass(frozen=True)
class Speed:
    """Means over requests, in seconds and tokens per second; None means not measured.

    `concurrency` is the most requests that shared the engine: above 1, waiting for others is part of every
    figure. `output_tok_s` is taken after the first token.
    """

    requests: int = 0
    concurrency: int | None = None
    response_s: float | None = None
    ttft_s: float | None = None
    output_tok_s: float | None = None


class SpeedTally:
    """Takes completions one by one; timings of an engine that was disturbed count for nothing."""

    def __init__(self, completions: Iterable[Completion] = ()) -> None:
        self._requests = 0
        self._concurrency: int | None = None
        self._response = array("d")
        self._ttft = array("d")
        self._output = array("d")
        self._tokens: int | None = None
        self._all_counted = True
        self.disturbed = False  # the engine died under way: the batch's wall time holds its restart
        for completion in completions:
            self.add(completion)

    def add(self, completion: Completion) -> None:
        timing, tokens = completion.timing, completion.completion_tokens
        if tokens is None:
            self._all_counted = False
        else:
            self._tokens = (self._tokens or 0) + tokens
        if timing is None:
            return
        if timing.disturbed:
            self.disturbed = True
            return
        self._requests += 1
        self._concurrency = max(self._concurrency or 0, timing.concurrency)
        self._note(timing, tokens or 0)

    def _note(self, timing: Timing, tokens: int) -> None:
        if timing.e2e_s is not None:
            self._response.append(timing.e2e_s)
        if timing.ttft_s is not None:
            self._ttft.append(timing.ttft_s)
        if tokens > 1 and timing.decode_s:  # tokens per second after the first: undefined below two
            self._output.append((tokens - 1) / timing.decode_s)

    @property
    def tokens(self) -> int | None:
        """Of all requests; None where one was not counted: a part of the tokens is no speed of the whole."""
        return self._tokens if self._all_counted else None

    @property
    def speed(self) -> Speed:
        """Means over the requests so far."""
        means = (fmean(values) if values else None for values in (self._response, self._ttft, self._output))
        return Speed(self._requests, self._concurrency, *means)
