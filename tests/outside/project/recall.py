"""An engine of this project: it knows some answers by heart."""

from concurrent.futures import Future

from pytest_llmeval.engines import Engine, EngineInfo
from pytest_llmeval.schema import Completion

ANSWERS = {"double": "    return 2 * x\n", "halve": "    return x // 2\n"}


class RecallEngine(Engine):
    def __init__(self, spec, context):
        self._knows = spec.engine.get("knows", [])

    def load(self, progress):
        progress("remembering", f"{len(self._knows)} answers")
        return EngineInfo(facts={"engine": "recall"})

    def submit(self, request):
        name = next(name for name in ANSWERS if f"def {name}(" in request.prompt.text)
        future = Future()
        future.set_result(Completion(ANSWERS[name] if name in self._knows else "    return None\n", "stop"))
        return future

    def close(self):
        pass
