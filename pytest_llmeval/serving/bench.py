"""What a serving suite holds as `serving`: one loaded model, and the ways to measure it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pytest_llmeval.devices import read_together
from pytest_llmeval.engines import Engine, EngineInfo
from pytest_llmeval.errors import NotMeasurableError
from pytest_llmeval.items.benchmarking import VirtualClock, replay
from pytest_llmeval.metrics.latency import Limits
from pytest_llmeval.schema import ModelSpec, Request
from pytest_llmeval.serving.loads import Answers, closed_loop, open_loop
from pytest_llmeval.serving.measurements import Kind, Measurement, append, measured, within
from pytest_llmeval.serving.requests import RequestMaker, vocabulary_of
from pytest_llmeval.telemetry.figures import PhaseFigures
from pytest_llmeval.telemetry.roofline import (
    SpeedOfLight,
    bandwidth_of,
    draws_several,
    kv_value_bytes,
    shape_of,
    speed_of_light,
)
from pytest_llmeval.telemetry.watch import Watch

Notify = Callable[[str, str], None]


@dataclass(frozen=True)
class Bench:
    """One loaded model with an idle engine, nothing else of this run at work beside it.

    Every measurement empties the prefix cache, warms up, is watched by telemetry and is written to `path` at once.
    """

    spec: ModelSpec
    engine: Engine
    info: EngineInfo
    config: Mapping[str, Any] | None
    maker: RequestMaker
    path: Path
    watch: Watch | None = None
    notify: Notify = lambda stage, detail: None
    seed: int = 0
    clock: VirtualClock = field(default_factory=VirtualClock)

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        engine: Engine,
        info: EngineInfo,
        config: Mapping[str, Any] | None,
        path: Path,
        **rest: Any,
    ) -> Bench:
        """A bench over a loaded engine.

        Raises:
            NotMeasurableError: the engine takes no prompts of exact lengths.
        """
        if not info.synthetic:
            raise NotMeasurableError(
                f"{spec.name}: an engine of kind {spec.kind!r} as it is here takes no prompts of exact token "
                f"lengths (token ids, ignore_eos); vllm, transformers and a server that is vLLM do"
            )
        maker = RequestMaker(vocabulary_of(config), rest.get("seed", 0))
        return cls(spec, engine, info, config, maker, path, **rest)

    @property
    def on_gpu(self) -> bool:
        return self.info.facts.get("platform") not in ("cpu", None) or bool(self.watch and self.watch.devices)

    @property
    def context_tokens(self) -> int | None:
        """Tokens that prompt and answer may have together, as the engine was loaded."""
        found = self.info.facts.get("max_model_len") or self.spec.engine.get("max_model_len")
        return int(found) if found else None

    # ------------------------------------------------------------------------------------- measurements

    def single_stream(
        self, prompt_tokens: int, output_tokens: int, rounds: int = 10, warm_ups: int = 2
    ) -> Measurement:
        """One request at a time: what a user waits who is alone.

        Raises:
            NotMeasurableError: so many tokens do not fit into the model's context.
            EngineFault: the engine died.
        """
        return self._closed("latency", prompt_tokens, output_tokens, 1, rounds, warm_ups)

    def concurrent(
        self,
        concurrency: int,
        prompt_tokens: int,
        output_tokens: int,
        requests: int | None = None,
        warm_ups: int = 1,
    ) -> Measurement:
        """Always `concurrency` requests under way, `requests` in all (default: four rounds of them).

        Raises:
            NotMeasurableError, EngineFault: as for single_stream.
        """
        count = requests or 4 * concurrency
        return self._closed("throughput", prompt_tokens, output_tokens, concurrency, count, warm_ups)

    def arriving(
        self, rate_per_s: float, limits: Limits, prompt_tokens: int, output_tokens: int, requests: int
    ) -> Measurement:
        """Requests arrive by chance, `rate_per_s` on average: which share of them kept to the limits?

        Raises:
            NotMeasurableError, EngineFault: as for single_stream.
        """
        name = f"goodput {rate_per_s:g}/s"
        asked = self._requests(requests, prompt_tokens, output_tokens)
        told = partial(self._tell, name, requests)
        answers, costs = self._measure(
            name, asked[0], lambda: open_loop(self.engine, asked, rate_per_s, self.seed, told)
        )
        found = measured("goodput", self.spec.name, (prompt_tokens, output_tokens), answers)
        found = within(found, answers.completions, limits)
        return self._keep(replace(found, rate_per_s=rate_per_s, costs=costs))

    def whole_context(self, output_tokens: int = 16) -> Measurement:
        """One request that fills the context the registry promises, and what memory the engine reports.

        Raises:
            NotMeasurableError: nobody says how long the context is.
            EngineFault: the engine died.
        """
        promised = self.spec.engine.get("max_model_len") or self.context_tokens
        if not promised:
            raise NotMeasurableError(
                f"{self.spec.name}: neither its entry nor its engine tells max_model_len"
            )
        lengths = int(promised) - output_tokens, output_tokens
        asked = self._requests(1, *lengths)
        answers, costs = self._measure(
            "memory", None, lambda: closed_loop(self.engine, asked, 1, partial(self._tell, "memory", 1))
        )
        found = measured("memory", self.spec.name, lengths, answers)
        memory = self.info.memory
        return self._keep(replace(found, costs=costs, memory=memory, promised_tokens=int(promised)))

    def _closed(
        self, kind: Kind, prompt_tokens: int, output_tokens: int, concurrency: int, count: int, warm_ups: int
    ) -> Measurement:
        name = f"{kind} {prompt_tokens if kind == 'latency' else concurrency}"
        first = self._requests(warm_ups, prompt_tokens, output_tokens)
        asked = self._requests(count, prompt_tokens, output_tokens)
        told = partial(self._tell, name, count)
        for request in first:
            self.engine.submit(request).result()
        answers, costs = self._measure(name, None, lambda: closed_loop(self.engine, asked, concurrency, told))
        found = measured(kind, self.spec.name, (prompt_tokens, output_tokens), answers)
        found = replace(found, concurrency=concurrency, costs=costs)
        return self._keep(replace(found, speed_of_light=self._limit(found)))

    def report_timing(self, measured: Measurement, benchmark: Any) -> None:
        """Hand the response times to pytest-benchmark, a round for each request; the figures are in its extra_info."""
        replay(benchmark, self.clock, measured.responses_s, measured.benchmarked)

    # ------------------------------------------------------------------------------------------ helpers

    def _measure(
        self, name: str, warm_up: Request | None, work: Callable[[], Answers]
    ) -> tuple[Answers, PhaseFigures | None]:
        if warm_up:
            self.engine.submit(replace(warm_up, request_id=f"warm-up {name}")).result()
        self.engine.reset_cache()
        phase: AbstractContextManager[None] = self.watch.phase(name) if self.watch else nullcontext()
        before = self.watch.figures(name) if self.watch else None
        with phase:
            answers = work()
        costs = self.watch.figures(name) if self.watch else None
        return answers, costs if before is None else None  # a phase that came twice has the figures of both

    def _requests(self, count: int, prompt_tokens: int, output_tokens: int) -> Sequence[Request]:
        self._check_lengths(prompt_tokens, output_tokens)
        return [self.maker.make(prompt_tokens, output_tokens) for _ in range(count)]

    def _check_lengths(self, prompt_tokens: int, output_tokens: int) -> None:
        limit = self.context_tokens
        if limit is not None and prompt_tokens + output_tokens > limit:
            raise NotMeasurableError(
                f"{self.spec.name}: {prompt_tokens} + {output_tokens} tokens do not fit into its context of {limit}"
            )

    def _limit(self, found: Measurement) -> SpeedOfLight | None:
        """For one stream: the share of what the device's memory bandwidth allows."""
        speed, memory = found.stream_tok_s, self.info.memory
        devices = self.watch.devices if self.watch else ()
        if found.concurrency != 1 or not speed or not devices or not memory or not memory.weights_bytes:
            return None
        if draws_several(self.spec.engine):
            return None
        bandwidth = bandwidth_of(devices[0].name, devices[0].bandwidth_bytes_s)
        if bandwidth is None:
            return None
        return speed_of_light(
            speed,
            weight_bytes=memory.weights_bytes,
            shape=shape_of(self.config) if self.config else None,
            context_tokens=found.prompt_tokens + found.output_tokens / 2,
            kv_value_bytes=kv_value_bytes(self.info.facts),
            bandwidth=bandwidth,
            devices=min(read_together(self.spec), len(devices)),
        )

    def _keep(self, found: Measurement) -> Measurement:
        append(self.path, found)
        return found

    def _tell(self, name: str, count: int, done: int) -> None:
        self.notify(f"{self.spec.name}: measuring", f"{name}: {done} of {count} answers")
