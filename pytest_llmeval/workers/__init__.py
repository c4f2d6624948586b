"""pytest-xdist: engines that hold no weights answer to several workers; models of this machine are refused clearly.

Every worker is a run with an engine, a sandbox and files of its own, in `runs/<worker>/` of the controller's folder.
The controller makes one run of them at the end. docs/scaling.md says what is divided among workers.
"""

from __future__ import annotations

from typing import Any

import pytest

REFUSED = "llmeval_refused"
FOLDER = "llmeval_folder"
UNWRITTEN = "llmeval_unwritten"


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """True in the process that collects nothing and hands items to workers."""
    spread = config.getoption("dist", "no") != "no" and bool(config.getoption("tx", None))
    return spread and not is_worker(config) and not config.option.collectonly


def count(config: Any) -> int:
    """How many workers share the machine; 1 without pytest-xdist."""
    return int(config.workerinput["workercount"]) if is_worker(config) else 1


def refuse(config: Any, models: list[str]) -> None:
    """In a worker: tell the controller, which can end the session with a proper message."""
    config.workeroutput[REFUSED] = [str(name) for name in models]  # execnet carries plain strings only


def report_unwritten(config: Any, errors: list[str]) -> None:
    """In a worker: let the controller say which documents could not be written."""
    config.workeroutput[UNWRITTEN] = errors


def end_workers(config: pytest.Config) -> None:
    """Wait until no worker is left: pytest-xdist leaves those of an interrupted session at work until later, and what
    they still write belongs to the run. They are told to end, interrupted after 5 seconds, killed after 10.
    """
    manager = getattr(config.pluginmanager.getplugin("dsession"), "nodemanager", None)
    if manager is not None:
        manager.teardown_nodes()


def why_refused(models: list[str]) -> str:
    return (
        f"{', '.join(models)} cannot be evaluated under pytest-xdist: each worker would load each model. vLLM batches "
        "all items by itself: leave -n out, or add -n0. Several devices: --llmeval-devices; several machines: "
        "--llmeval-shard"
    )


class ControllerHooks:
    """In the controller: what workers say when they end, and where they write."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._refused: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[FOLDER] = str(self._run.folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        said = getattr(node, "workeroutput", None) or {}
        self._refused += [name for name in said.get(REFUSED, ()) if name not in self._refused]
        self._run.unwritten += said.get(UNWRITTEN, ())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._refused:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._refused:
            terminalreporter.write_line(f"ERROR: {why_refused(self._refused)}", red=True)
