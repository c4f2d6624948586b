"""vLLM, in an engine host: this module runs in pytest's process and imports nothing of vLLM."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pytest_llmeval import devices
from pytest_llmeval.devices.occupancy import cards_of
from pytest_llmeval.engines import EngineContext
from pytest_llmeval.engines.host.environment import hub_token
from pytest_llmeval.engines.host.launch import HostedEngine
from pytest_llmeval.extensions import require
from pytest_llmeval.schema import ModelSpec

STEP_DRIVER = "pytest_llmeval.engines.host.vllm_drivers:StepDriver"
ASYNC_DRIVER = "pytest_llmeval.engines.host.vllm_drivers:AsyncDriver"


class VLLMEngine(HostedEngine):
    """One vLLM engine in a process group of its own.

    On a GPU vLLM's AsyncLLM drives it (it reports the death of its core process; the synchronous LLM hangs).
    On a CPU the in-process step loop does: a third of the start-up time, no further processes.
    `close()` kills the group and with it frees the device memory.
    """

    synthetic = True

    def __init__(self, spec: ModelSpec, context: EngineContext) -> None:
        launchers = context.launchers
        has_gpu = launchers.has_gpu() if launchers else devices.has_gpu()
        if launchers is None:
            require("vllm" if has_gpu else "cpu", "vllm")
        driver = ASYNC_DRIVER if has_gpu else STEP_DRIVER
        environment = host_environment(spec, driver, context.placed)
        cards = [] if launchers else cards_of(spec, context.environ)
        super().__init__(spec, context, driver=driver, environment=environment, cards=cards)


def host_environment(
    spec: ModelSpec, driver: str, placed: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """What must be in the environment before Python starts, because vLLM reads it while importing.

    `placed` says where the engine is to be; what the entry says goes before.
    """
    step = driver == STEP_DRIVER
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0" if step else "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # Unset, torch spins a thread per core in-process: measured ten times slower on two busy cores.
        **({"OMP_NUM_THREADS": "1"} if step else {}),
        # vLLM's own compilers and workers must find this environment's programs (ninja, gcc wrappers).
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        **placed,
        **hub_token(spec),
        **spec.environment,
    }
