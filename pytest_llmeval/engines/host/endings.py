"""Why an engine in a host gives no answers, in words for people: without secrets, with the end of its log."""

from __future__ import annotations

from pathlib import Path

from pytest_llmeval.engines import faults
from pytest_llmeval.redaction import redact, scrub, secrets_of
from pytest_llmeval.schema import ModelSpec

LOG_LINES_SHOWN = 12


class Endings:
    """What is told of one engine whose log is at `log_path`."""

    def __init__(self, spec: ModelSpec, log_path: Path) -> None:
        self._spec = spec
        self._log_path = log_path

    def of_host(self, cause: str, first_death: str = "") -> str:
        """Why there are no more answers: kind, cause and what to do, then the end of the log."""
        log, end = self._log()
        paragraph = faults.explain(cause, log, self._spec)
        if first_death:
            paragraph += f"\nIt had died before ({first_death}) and was started again once."
        return self._clean(f"{paragraph}\nlog: {self._log_path}{end}")

    def of_request(self, error: str) -> str:
        """Why one request has no answer."""
        return self._clean(faults.explain(error, "", self._spec))

    def in_short(self, cause: str) -> str:
        """The cause alone."""
        return self._clean(faults.readable(cause))

    def not_started(self, error: Exception) -> str:
        """Why there is no host."""
        return (
            f"no engine host could be started: {error}. See what this system is short of (processes, memory, "
            f"open files), and whether {self._log_path} can be written"
        )

    def scrub_log(self) -> str:
        """Take secrets out of the log, which is written no more; a note where that could not be done."""
        try:
            scrub(self._log_path, secrets_of(self._spec))
        except OSError as error:  # a full disk: what follows this engine must be closed all the same
            return f"{self._log_path} may hold secrets, it could not be rewritten: {error.strerror}"
        return ""

    def _log(self) -> tuple[str, str]:
        """All of the log, and its end as it is shown."""
        try:
            log = self._log_path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return "", f" cannot be read: {error.strerror}"
        tail = log.rstrip().splitlines()[-LOG_LINES_SHOWN:]
        return log, ", which ends:\n" + "\n".join(tail) if tail else " (empty)"

    def _clean(self, text: str) -> str:
        return redact(text, secrets=secrets_of(self._spec))


def too_slow(seconds: float) -> str:
    return f"not ready after {seconds:.0f} s; --llmeval-load-timeout sets the limit"


def hangs(seconds: float) -> str:
    return (
        f"the engine hangs: no sign of life for {seconds:.0f} s while requests wait; --llmeval-hang-timeout sets "
        f"the limit"
    )
