"""--llmeval-devices on GPUs of the test double: each host sees its own device, and telemetry is of that device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

MODELS = """
[defaults]
kind = "hosted:Hosted"
prompt_style = "completion"
needs = { hub = false }
[models.one]
model = "echo"
[models.two]
model = "echo"
[models.pinned]
model = "echo"
environment = { CUDA_VISIBLE_DEVICES = "GPU-fake-1" }
[models.wide]
model = "echo"
engine = { tensor_parallel_size = 2 }
[models.wider]
model = "echo"
engine = { tensor_parallel_size = 4 }
"""
HOSTED = """
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.devices.occupancy import cards_of

class Hosted(HostedEngine):
    def __init__(self, spec, context):
        environment = {**context.placed, **spec.environment}
        super().__init__(spec, context, driver="seeing:Driver", environment=environment,
                         cards=cards_of(spec, context.environ))
"""
DRIVER = """
import os
from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.worker import Loaded
from pytest_llmeval.schema import Completion, Request, Timing

class Driver:
    def load(self, spec):
        return Loaded({"saw": os.environ["CUDA_VISIBLE_DEVICES"]})

    def serve(self, inbox, outbox):
        while True:
            request = inbox.get()
            if not isinstance(request, Request):
                continue
            outbox.send(protocol.Done(request.request_id, Completion("    pass", timing=Timing(1))))
"""


@pytest.fixture
def run(pytester, fake_library, monkeypatch):
    suite = Path(__file__).parents[2] / "suites/coding/test_humaneval.py"
    pytester.makepyfile(test_humaneval=suite.read_text(), hosted=HOSTED, seeing=DRIVER)
    pytester.makefile(".ini", pytest="[pytest]\nllmeval_registry = models.toml\n")
    Path("models.toml").write_text(MODELS)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(fake_library))
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    monkeypatch.setenv("FAKE_DEVICES", "3")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def run(*args: str) -> tuple[pytest.RunResult, Path]:
        result = pytester.runpytest_subprocess(
            "--llmeval-limit=1", "--llmeval-wrong=xfail", "-p", "no:html", "-rs", *args, timeout=120
        )
        return result, pytester.path / "reports/latest"

    return run


def test_each_host_sees_its_own_devices_and_telemetry_is_of_those(run):
    result, left = run("--llmeval-devices=auto")
    manifest = json.loads((left / "manifest.json").read_text())
    saw = {name: info["facts"]["saw"] for name, info in manifest["engines"].items()}
    assert saw.pop("pinned") == "GPU-fake-1"  # the entry's own value stays as it is
    seats = manifest["side_by_side"]["models"]
    assert {name: ",".join(seats[name]["places"]) for name in saw} == saw
    assert seats["pinned"]["places"] == ["1"]
    assert (seats["one"]["places"], seats["two"]["places"], len(seats["wide"]["places"])) == (["0"], ["1"], 2)
    for name, seat in seats.items():
        start = json.loads((left / f"telemetry/{name}.jsonl").read_text().splitlines()[0])
        assert [str(device["index"]) for device in start["devices"]] == seat["places"]
    result.stdout.fnmatch_lines(["*wider: needs 4 NVIDIA GPUs; found 3 *"])


def test_a_users_own_setting_bounds_them(run, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    result, left = run("--llmeval-devices=2", "--llmeval-models=one,pinned")
    manifest = json.loads((left / "manifest.json").read_text())
    assert manifest["engines"]["one"]["facts"]["saw"] == "2"
    result.stdout.fnmatch_lines(["*pinned: its entry names the devices 1; --llmeval-devices leaves out 1*"])
