"""A headless Chromium, driven through its DevTools protocol; it tells what a page did, or tried to do."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# fmt: off
FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-port=0",
)
# fmt: on
PATIENCE_S = 60.0


class Tab:
    """One page. `events` holds everything the browser told of it since it was opened."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message.get("result", {})
            self._heard(message)

    def open(self, path: Path, fragment: str = "") -> None:
        """Go to a file and wait until it is loaded and has been idle."""
        self.call(
            "Page.navigate", url="about:blank"
        )  # else another fragment of the same page would not load it
        self.events.clear()
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        loader = self.call("Page.navigate", url=path.resolve().as_uri() + fragment)["loaderId"]
        self.wait_for("Page.lifecycleEvent", name="load", loaderId=loader)
        self.wait_for("Page.lifecycleEvent", name="networkIdle", loaderId=loader)

    def wait_for(self, method: str, **wanted: Any) -> None:
        while not any(self._is(event, method, wanted) for event in self.events):
            self._heard(json.loads(self._socket.recv(timeout=PATIENCE_S)))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def reached(self) -> set[str]:
        """Every address that was asked for."""
        return {
            e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"
        }

    def complaints(self) -> list[str]:
        """Errors on the console, exceptions, and dialogs."""
        return [
            json.dumps(event)[:600]
            for event in self.events
            if event["method"] in {"Runtime.exceptionThrown", "Page.javascriptDialogOpening"}
            or (event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error")
            or (event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] == "error")
        ]

    def _heard(self, message: dict[str, Any]) -> None:
        self.events.append(message)
        if message["method"] == "Page.javascriptDialogOpening":  # it would stand in the way for ever
            self._socket.send(
                json.dumps({"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}})
            )

    @staticmethod
    def _is(event: dict[str, Any], method: str, wanted: dict[str, Any]) -> bool:
        return event["method"] == method and wanted.items() <= event["params"].items()


@contextlib.contextmanager
def tab(profile: Path, *flags: str) -> Iterator[Tab]:
    """A browser with a fresh profile and one page; both are gone afterwards."""
    assert BINARY is not None
    own = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its own sandbox to root
    command = [BINARY, *FLAGS, *own, *flags, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_page_address(profile, process), max_size=None, open_timeout=PATIENCE_S) as socket:
            yield Tab(socket)
    finally:
        process.kill()
        process.wait()


def _page_address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the first page listens: the browser writes its port into its profile."""
    port = _waited(lambda: (profile / "DevToolsActivePort").read_text().split()[0], process)
    with connect(f"ws://127.0.0.1:{port}{_browser_path(profile)}", max_size=None) as socket:
        socket.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
        while (told := json.loads(socket.recv(timeout=PATIENCE_S))).get("id") != 1:
            pass
    target = next(t["targetId"] for t in told["result"]["targetInfos"] if t["type"] == "page")
    return f"ws://127.0.0.1:{port}/devtools/page/{target}"


def _browser_path(profile: Path) -> str:
    return (profile / "DevToolsActivePort").read_text().split()[1]


def _waited(ask: Any, process: subprocess.Popen[bytes]) -> Any:
    """What `ask` gives as soon as it does; the browser must be alive meanwhile."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert process.poll() is None, "Chromium ended by itself"
        with contextlib.suppress(OSError, IndexError):
            return ask()
        time.sleep(0.05)
    raise AssertionError(f"Chromium did not open its port within {PATIENCE_S:.0f} s")
