"""An engine that answers from a file of samples: no model, no device, no timings."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from pytest_llmeval.engines import Engine, EngineContext, EngineInfo, Progress
from pytest_llmeval.errors import ConfigurationError, EngineFault
from pytest_llmeval.samples import IndexedRows
from pytest_llmeval.schema import Completion, ModelSpec, Request


class ReplayEngine(Engine):
    """Answers sample i of a task with the i-th row that the file `spec.model` has for it.

    It holds the file open, and in memory where each row begins; `close()` lets go of both.
    """

    holds_weights = False

    def __init__(self, spec: ModelSpec, context: EngineContext) -> None:
        self._path = Path(spec.model)
        self._rows: IndexedRows | None = None
        self._closed = False

    def load(self, progress: Progress) -> EngineInfo:
        try:
            self._rows = IndexedRows(self._path)
        except ConfigurationError as error:
            raise EngineFault(str(error)) from error
        return EngineInfo(facts={"engine": "replay", "samples": len(self._rows)})

    def submit(self, request: Request) -> Future[Completion]:
        future: Future[Completion] = Future()
        if self._closed or self._rows is None:
            why = "the engine was closed" if self._closed else "the engine was not loaded"
            future.set_exception(EngineFault(f"{self._path}: {why}"))
        elif (row := self._rows.get(request.task_id, request.sample_index)) is not None:
            future.set_result(Completion(row.text, form=row.form))
        else:
            where = f"sample {request.sample_index} of {request.task_id}"
            future.set_exception(EngineFault(f"{self._path} holds no {where}"))
        return future

    def close(self) -> None:
        self._closed = True
        if self._rows is not None:
            self._rows.close()
