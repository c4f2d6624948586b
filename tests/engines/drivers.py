"""Drivers without a model, for drills of the engine host. Test doubles: they measure nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.schema import Completion


class EchoDriver:
    """Answers with the prompt; a model named `broken` does not load, one named `slow` takes for ever.

    It starts a grandchild, as vLLM does, whose process id is among its facts. A prompt `die` kills the host,
    `refuse` is refused, `hang` is never answered.
    """

    def load(self, spec):
        if spec.model == "broken":
            raise ValueError("no such\narchitecture")
        if spec.model == "slow":
            time.sleep(600)
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return {"grandchild": grandchild.pid}

    def serve(self, inbox, outbox):
        while True:
            request = inbox.get()
            if request.prompt.text == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif request.prompt.text == "refuse":
                outbox.send(protocol.RequestFailed(request.request_id, "ValueError: too long"))
            elif request.prompt.text != "hang":
                outbox.send(protocol.Done(request.request_id, Completion(request.prompt.text)))
