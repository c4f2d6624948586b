"""From what the zygotes report to a Verdict."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox.limits import Limits
from pytest_llmeval.schema import Channel, Outcome, Verdict

# A timeout is judged again in any case.
_STANDS = (Outcome.WRONG_ANSWER, Outcome.EXCEPTION, Outcome.SYNTAX_ERROR, Outcome.TIMEOUT)
_OVERTIME = {signal.SIGXCPU: "CPU time", signal.SIGALRM: "time"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the trusted side said: an outcome of its own, "ended" or "lost" where a process was gone."""

    outcome: str
    detail: str
    foretold: bool = False

    def stands(self, report: dict[str, Any]) -> bool:
        """False where calls sent ahead may show: in the output or the end of a program that was asked more
        than the tests came to, or because they asked something else this time. Such a sample is judged again,
        call by call.
        """
        if not self.foretold or self.outcome == Outcome.PASSED or report["status"] == "timeout":
            return True
        return self.outcome in _STANDS and not report["output_bytes"] and report["status"] != "output_limit"


def verdict_of(report: dict[str, Any], output: bytes, judgement: Judgement | None, limits: Limits) -> Verdict:
    """The Verdict of one sample; SandboxFault where the report says nothing about it.

    `judgement` is what the checker said, or None on the inline channel, where the report holds it.
    """
    channel = Channel.INLINE if judgement is None else Channel.SPLIT
    if report["status"] == "refused":
        raise SandboxFault(f"a sample could not be confined: {output.decode('utf-8', 'replace')[:300]}")
    if judgement is None:
        judgement = _inline(report["verdict"])
    outcome, detail = _outcome(report, judgement, limits)
    if outcome is Outcome.SANDBOX_ERROR:
        raise SandboxFault(detail)
    return Verdict(
        outcome, detail, _shown(output, report, limits), report["wall_s"], channel, report["cpu_s"]
    )


def _inline(text: str | None) -> Judgement:
    if text is None:
        return Judgement("ended", "")
    outcome, _, detail = text.partition(" ")
    try:
        return Judgement(Outcome(outcome).value, detail)
    except ValueError:
        return Judgement("forged", "something else than the sandbox wrote the verdict")


def _outcome(report: dict[str, Any], judgement: Judgement, limits: Limits) -> tuple[Outcome, str]:
    if report["status"] == "timeout":
        return Outcome.TIMEOUT, f"no answer within {limits.wall_s:g} s"
    if report["status"] == "output_limit":
        return Outcome.OUTPUT_LIMIT, f"printed more than {limits.output_bytes} bytes"
    if judgement.outcome == "lost":
        return _lost(int(judgement.detail))
    if judgement.outcome == "ended":
        if report["cpu_s"] > (limits.resolved().cpu_s or 0):  # it ignored SIGXCPU
            return _ended(-signal.SIGXCPU)
        if report["status"] == "done" and report["code"] == -signal.SIGKILL:  # alive until we killed it
            return Outcome.KILLED, "it closed its channel to the tests"
        return _ended(report["code"])
    return Outcome(judgement.outcome), judgement.detail


def _ended(code: int) -> tuple[Outcome, str]:
    """The candidate's process was gone before its verdict."""
    if -code in _OVERTIME:
        return Outcome.TIMEOUT, f"its {_OVERTIME[signal.Signals(-code)]} was used up"
    if code < 0:
        return Outcome.KILLED, f"its process was killed by {_signal_name(-code)}"
    return Outcome.KILLED, f"its process ended with exit code {code} before a verdict"


def _lost(code: int) -> tuple[Outcome, str]:
    """The checker did not survive this program's answers: that is the program's doing."""
    if code == -signal.SIGPROF:
        return Outcome.TIMEOUT, "comparing its answers took too long"
    return Outcome.KILLED, f"comparing its answers ended the checker ({_signal_name(-code)})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}" if number > 0 else f"exit code {-number}"


def _shown(output: bytes, report: dict[str, Any], limits: Limits) -> str:
    """Captured output for people: decoded leniently, with a word on what was cut."""
    text = output[: limits.output_kept_bytes].decode("utf-8", "replace")
    cut = report["output_bytes"] - limits.output_kept_bytes
    return f"{text}\n[{cut} more bytes]" if cut > 0 else text
