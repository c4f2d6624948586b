"""The parent's handle on one zygote: an isolated interpreter that was fed the jail's programs."""

from __future__ import annotations

import json
import socket
import subprocess
from importlib import resources
from typing import Any

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox.jail import wire

START_TIMEOUT_S = 30.0
MODULES = ("wire", "zygote")

# Runs before anything of ours exists in the interpreter: builds the package `jail` from what the socket says.
BOOTSTRAP = """\
import json, os, sys, types
def take(size):
    data = b""
    while len(data) < size:
        data += os.read(0, size - len(data)) or sys.exit(1)
    return data
feed = json.loads(take(int.from_bytes(take(4), "little")))
package = sys.modules["jail"] = types.ModuleType("jail")
package.__path__ = []
for name, source in feed["modules"]:
    module = types.ModuleType("jail." + name)
    module.__package__ = "jail"
    sys.modules["jail." + name] = module
    setattr(package, name, module)
    exec(compile(source, "<jail." + name + ">", "exec"), module.__dict__)
control = os.dup(0)
sys.modules["jail.zygote"].main(control, feed["config"])
"""
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Zygote:
    """One started interpreter. `close()` kills it with everything it forked."""

    def __init__(self, python: str, config: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [python, "-I", "-S", "-c", BOOTSTRAP],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        self._socket = ours
        self._socket.settimeout(START_TIMEOUT_S)
        try:
            self.send({"modules": _sources(), "config": config})
            self.receive(START_TIMEOUT_S)
        except OSError as error:
            self.close()
            raise SandboxFault(
                f"the interpreter {python} does not start in the sandbox: {error!r}"
            ) from error

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode("ascii")
        self._socket.sendall(len(data).to_bytes(wire.HEADER_BYTES, "little") + data)

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The next message; OSError (also TimeoutError) where the zygote is lost."""
        self._socket.settimeout(timeout_s)
        size = int.from_bytes(self._take(wire.HEADER_BYTES), "little")
        message: dict[str, Any] = json.loads(self._take(size))
        return message

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the zygote died")
            data += part
        return data

    def close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _sources() -> list[tuple[str, str]]:
    jail = resources.files("pytest_llmeval.sandbox.jail")
    return [(name, (jail / f"{name}.py").read_text("utf-8")) for name in MODULES]
