"""An engine that answers from a file of samples: no model, no device, no timings."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from pytest_llmeval.engines import EngineContext, EngineInfo, EngineStatus, Progress
from pytest_llmeval.errors import ConfigurationError, EngineFault
from pytest_llmeval.samples import SampleRow, by_task, read_rows
from pytest_llmeval.schema import Completion, ModelSpec, Request


class ReplayEngine:
    """Answers sample i of a task with the i-th row that the file `spec.model` has for it.

    It holds the file's rows in memory; `close()` lets them go.
    """

    def __init__(self, spec: ModelSpec, context: EngineContext) -> None:
        self._path = Path(spec.model)
        self._rows: dict[str, list[SampleRow]] = {}
        self._closed = False

    def load(self, progress: Progress) -> EngineInfo:
        try:
            self._rows = by_task(read_rows(self._path))
        except ConfigurationError as error:
            raise EngineFault(str(error)) from error
        return EngineInfo(facts={"engine": "replay", "samples": sum(map(len, self._rows.values()))})

    def submit(self, request: Request) -> Future[Completion]:
        future: Future[Completion] = Future()
        rows = self._rows.get(request.task_id, [])
        if self._closed:
            future.set_exception(EngineFault(f"{self._path}: the engine was closed"))
        elif request.sample_index < len(rows):
            row = rows[request.sample_index]
            future.set_result(Completion(row.text, form=row.form))
        else:
            where = f"sample {request.sample_index} of {request.task_id}"
            future.set_exception(EngineFault(f"{self._path} holds no {where}"))
        return future

    def reset_cache(self) -> None:
        pass

    @property
    def is_preparing(self) -> bool:
        return False

    @property
    def status(self) -> EngineStatus:
        return EngineStatus()

    def close(self) -> None:
        self._closed = True
        self._rows = {}
