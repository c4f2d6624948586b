"""The parent's handle on one zygote: an isolated interpreter that was fed the jail's programs."""

from __future__ import annotations

import json
import socket
import subprocess
from functools import cache
from importlib import resources
from typing import Any

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox.jail import wire
from pytest_llmeval.sandbox.launch import Launch
from pytest_llmeval.sandbox.stream import Stream

START_TIMEOUT_S = 180.0  # on a busy machine; a zygote that dies while it starts is noticed at once
DEATH_TIMEOUT_S = 10.0
ENCLOSING = ("kernel", "seccomp", "enclose")
MODULES = (
    "chance", "pages", "kernel", "seccomp", "landlock", "wire", "residue", "codec", "explain", "candidate", "inline",
    "purity", "answers", "checker", "confine", "checkers", "patience", "zygote",
)  # fmt: skip

# Runs before anything of ours exists in the interpreter: builds the package `jail` from what the socket says.
BOOTSTRAP = """\
import json, os, sys, types
sys.path[:] = [path for path in sys.path if path]
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
main, config = sys.modules["jail." + name].main, feed.pop("config")
feed.clear()
main(config)
"""
# -I would ignore PYTHONHASHSEED, without which the order of sets differs from run to run.
FLAGS = ("-S", "-s", "-B", "-c", BOOTSTRAP)
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Zygote:
    """One started interpreter. `close()` kills it with everything it forked."""

    def __init__(self, python: str, launch: Launch, role: dict[str, Any], inherited: tuple[int, ...]) -> None:
        """SandboxFault where it does not start; must be called in a thread that outlives it.

        What encloses it and itself ask the kernel to kill them with the thread that started them.
        """
        ours, theirs = socket.socketpair()
        self._stream = Stream(ours)
        work = str(launch.config["work"])
        environment = dict(ENVIRONMENT)
        if work != "/":
            environment.update(HOME=work, TMPDIR=work)
        with theirs:
            self._process = subprocess.Popen(
                [*launch.command, python, *FLAGS],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                pass_fds=inherited,
                start_new_session=True,
            )
        try:
            if launch.enclosure is not None:
                command = {"command": [python, *FLAGS]}
                self.send({"modules": _sources(ENCLOSING), "config": launch.enclosure | command})
            self.send({"modules": _sources(MODULES), "config": launch.config | role})
            self.ready = self.receive(START_TIMEOUT_S)
        except OSError as error:
            raise SandboxFault(self._last_words() or repr(error)) from error
        if "refused" in self.ready:
            self.close()
            raise SandboxFault(self.ready["refused"])
        self._forget_stderr()

    def send(self, message: dict[str, Any], attached: bytes | None = None) -> None:
        """Hand over one message and what belongs to it; OSError where the zygote is lost."""
        data = json.dumps(message, separators=(",", ":")).encode("ascii")
        self._stream.send(wire.block(data) + (wire.block(attached) if attached is not None else b""))

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The next message; OSError (also TimeoutError) where the zygote is lost."""
        message: dict[str, Any] = json.loads(self._stream.block(timeout_s))
        return message

    def receive_report(self, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        """The next message and what came with it; OSError (also TimeoutError) where the zygote is lost."""
        return self.receive(timeout_s), self._stream.block(timeout_s)

    def interrupt(self) -> None:
        """Make every call that waits for this zygote fail; callable from any thread."""
        self._stream.interrupt()

    def close(self) -> None:
        """End it with all it forked, and wait until they are gone."""
        self.interrupt()  # it then kills its sample and leaves
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget_stderr()
        self._stream.drain(DEATH_TIMEOUT_S)
        self._stream.close()

    def _last_words(self) -> str:
        self._process.kill()
        assert self._process.stderr is not None
        with self._process.stderr:
            words = self._process.stderr.read(4096).decode("utf-8", "replace").strip()
        self._process.wait()
        self._stream.close()
        return words.splitlines()[-1] if words else ""

    def _forget_stderr(self) -> None:
        if self._process.stderr is not None:
            self._process.stderr.close()


@cache
def _sources(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Programs of the jail, the one that runs last."""
    jail = resources.files("pytest_llmeval.sandbox.jail")
    return tuple((name, (jail / f"{name}.py").read_text("utf-8")) for name in names)
