"""Stop strings, for engines that cut answers themselves."""

from __future__ import annotations

from collections.abc import Sequence


def before_first(text: str, stop: Sequence[str]) -> str:
    """`text` up to the first place where one of the stop strings begins."""
    return text[: min((text.find(one) for one in stop if one in text), default=len(text))]


class Watch:
    """Looks for stop strings in a text that arrives in pieces, each character once."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._kept = max(map(len, stop), default=1) - 1  # characters that may go on in the next piece
        self._tail = ""

    def sees(self, piece: str) -> bool:
        """True where the text holds a stop string now that `piece` is added."""
        text = self._tail + piece
        self._tail = text[len(text) - self._kept :] if self._kept < len(text) else text
        return any(one in text for one in self._stop)
