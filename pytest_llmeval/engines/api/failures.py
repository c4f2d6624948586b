"""What can go wrong between us and a server: what is worth another try, when, and what to tell people."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
LONGEST_ASKED_WAIT_S = 300.0  # a server that asks for more has closed for today: waiting would hide it
# Characters; some servers answer with a page. Cut after secrets are hidden: half a key is one.
LONGEST_MESSAGE = 400

TOO_MANY_REQUESTS = 429
# 408 and 409 are how some gateways say "again, please".
TRANSIENT = frozenset({408, 409, TOO_MANY_REQUESTS})
ADVICE: Mapping[int, str] = {
    400: "the server refused this request: correct the entry's sampling, extra_body or prompt",
    401: "check the key in the variable that engine.api_key_env names",
    403: "check what the key in the variable that engine.api_key_env names may do",
    404: "check engine.base_url (most servers want it to end in /v1) and the entry's model",
    TOO_MANY_REQUESTS: "lower engine.concurrency or raise engine.max_retries",
}
IS_IT_RUNNING = "see whether the server runs at engine.base_url and can be reached from here"
SEE_THE_SERVER = "see the server's own log; engine.max_retries sets how often it is asked again"


@dataclass(eq=False)  # not frozen: Python itself writes an exception's traceback and context
class Failure(Exception):
    """One attempt that brought no answer: what happened, what to do, and whether to try again.

    `asked_wait_s` is what the server asked to wait, None where it did not say.
    """

    what: str
    advice: str = SEE_THE_SERVER
    transient: bool = True
    asked_wait_s: float | None = None

    @property
    def final(self) -> bool:
        """True where another attempt is pointless."""
        return not self.transient or (self.asked_wait_s or 0.0) > LONGEST_ASKED_WAIT_S


_TOO_LONG = re.compile(
    r"4(?:00|13|22): .*(?:context.?(?:length|window)|too long|max_model_len|input tokens)", re.I | re.S
)


def is_too_long(failure: Failure) -> bool:
    """True where a server refused a prompt for its length, in whichever words."""
    return bool(_TOO_LONG.match(failure.what))


def of_status(status: int, message: str, headers: Mapping[str, str]) -> Failure:
    """The failure that an HTTP status of 400 or above stands for."""
    asked_wait_s = retry_after_s(headers)
    is_transient = status in TRANSIENT or status >= 500
    advice = ADVICE.get(status, SEE_THE_SERVER if is_transient else ADVICE[400])
    if asked_wait_s is not None and asked_wait_s > LONGEST_ASKED_WAIT_S:
        advice = f"it asks to wait {asked_wait_s:.0f} s, which is too long to wait; {advice}"
    return Failure(f"{status}: {message}", advice, is_transient, asked_wait_s)


def of_stream_error(error: Any) -> Failure:
    """The failure that an error object in the middle of a stream stands for."""
    fields = error if isinstance(error, dict) else {"message": error}
    status = fields.get("code")
    message = str(fields.get("message", error))
    if isinstance(status, int) and 400 <= status < 600:
        return of_status(status, message, {})
    return Failure(f"the server broke its answer off: {message}")


def message_of(body: Any, otherwise: str) -> str:
    """The server's own words in an error body, whose shape differs from server to server."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("detail")
    if isinstance(inner, (dict, list)) and inner:  # FastAPI lists what is wrong with which field
        inner = json.dumps(inner)
    return inner if isinstance(inner, str) and inner.strip() else otherwise


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks for; its dates are held against the server's own clock."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, headers.get("date"))
    return None if math.isnan(seconds) else max(0.0, seconds)


def _seconds_until(then: str, now: str | None) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(then) - parsedate_to_datetime(now or "")).total_seconds())
    except (TypeError, ValueError):
        return None


def wait_s(attempt: int, asked_wait_s: float | None, random: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 0).

    What the server asks for is kept, and a little more: `random`, in [0, 1), spreads those who wait, so that
    they do not all come back in the same instant. Without a wish of the server the wait doubles each time; some
    gateways ask for 0 seconds all the time, which is none.
    """
    if asked_wait_s:
        return asked_wait_s * (1 + random / 4)
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**attempt) * (1 + random) / 2
