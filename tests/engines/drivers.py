"""Drivers without a model, for drills of the engine host. Test doubles: they measure nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.worker import Loaded
from pytest_llmeval.schema import Completion, Timing


class EchoDriver:
    """Answers with the prompt; a model named `broken` does not load, one named `slow` takes for ever, `talks` tells
    secrets when it fails, `greedy` takes all the memory it gets, up to a gigabyte.

    It starts a grandchild, as vLLM does, whose process id is among its facts. A prompt `die` kills the host,
    `die once` only where the entry's `marker` does not exist yet, `fork and die` leaves a forked child behind,
    `babble` says what is no message, `refuse` is refused, `hang` is never answered, `hold` neither, in a call that
    holds the interpreter's lock.
    """

    def load(self, spec):
        self.marker = Path(spec.engine.get("marker", "/nowhere"))
        if spec.model == "broken":
            raise ValueError("no such\narchitecture")
        if spec.model == "talks":
            raise ValueError(f"no access with {os.environ['TEAM_HUB']}, nor at https://u:{spec.name}@hub")
        if spec.model == "slow":
            time.sleep(600)
        if spec.model == "greedy":
            self.taken = [bytearray(b"x") * (1 << 20) for _ in range(1 << 10)]
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return Loaded({"grandchild": grandchild.pid})

    def serve(self, inbox, outbox):
        while True:
            request = inbox.get()
            if isinstance(request, protocol.Cancel):
                continue
            if request.prompt.text == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif request.prompt.text == "die once" and not self.marker.exists():
                self.marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            elif request.prompt.text == "fork and die":
                if os.fork() == 0:
                    time.sleep(600)
                os.kill(os.getpid(), signal.SIGKILL)
            elif request.prompt.text == "babble":
                outbox.socket.sendall(b"what is no message\n")
            elif request.prompt.text == "hold":
                ctypes.PyDLL(None).sleep(600)
            elif request.prompt.text == "refuse":
                outbox.send(protocol.RequestFailed(request.request_id, "ValueError: too long"))
            elif request.prompt.text != "hang":
                outbox.send(
                    protocol.Done(request.request_id, Completion(request.prompt.text, timing=Timing(1)))
                )
