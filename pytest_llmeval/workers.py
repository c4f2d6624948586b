"""pytest-xdist: every worker would load every model, so models are refused there, in one clear sentence."""

from __future__ import annotations

from typing import Any

import pytest

REFUSED = "llmeval_refused"
WHY = (
    "models cannot be evaluated under pytest-xdist: each worker would load every model. vLLM batches all "
    "items by itself; leave -n out, or add -n0"
)


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def refuse(config: Any) -> None:
    """In a worker: tell the controller, which can end the session with a proper message."""
    config.workeroutput[REFUSED] = True


class ControllerHooks:
    """In the controller: turn the workers' refusal into a usage error at the end of the session."""

    def __init__(self) -> None:
        self._refused = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._refused |= bool(getattr(node, "workeroutput", {}).get(REFUSED))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._refused:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._refused:
            terminalreporter.write_line(f"ERROR: {WHY}", red=True)
