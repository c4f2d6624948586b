"""The parts `models` and `raw`: how this package and vLLM by itself serve the same shapes on this device."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from checkpoints import ROOT, Checkpoint, problems, registry
from page import Page, shown

from pytest_llmeval.report.speed import sections
from pytest_llmeval.runs import LoadedRun, load_run
from pytest_llmeval.runs.results import ModelResult

HERE = Path(__file__).parent
OUTPUT_TOKENS, REHEARSED_TOKENS = 128, 8
PROBLEMS, REHEARSED_PROBLEMS = 128, 8
ALONE = 6  # of the problems, one at a time
STOP_WITHIN_S = 25.0  # a run that is told to stop still writes its reports
SHORTEST_RAW_S = 45.0  # no load is begun with less time left
LOG_LINES = 12


@dataclasses.dataclass
class Bench:
    """What both parts share: the checkpoints, where they work, and vLLM's processes that import ahead."""

    page: Page
    found: list[Checkpoint]
    folder: Path
    memory_bytes: int | None
    rehearsal: bool

    @property
    def fitting(self) -> list[Checkpoint]:
        return [one for one in self.found if not one.lacks(self.memory_bytes)]

    @property
    def output_tokens(self) -> int:
        return REHEARSED_TOKENS if self.rehearsal else OUTPUT_TOKENS

    @property
    def tasks(self) -> list[dict[str, str]]:
        return problems(REHEARSED_PROBLEMS if self.rehearsal else PROBLEMS)

    def environment(self) -> dict[str, str]:
        """Offline; the checkout importable in children; flashinfer's sampler only where flashinfer is."""
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        quiet = {
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "0",
        }
        sampler = {} if find_spec("flashinfer") else {"VLLM_USE_FLASHINFER_SAMPLER": "0"}
        return {**sampler, **os.environ, **quiet, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


# ------------------------------------------------------------------------------------------ this package


def models_part(bench: Bench, reserve_s: float) -> LoadedRun | None:
    """One pytest run over all checkpoints that fit; `reserve_s` of the time are left for others."""
    page = bench.page
    page.say("## The reference table, by this package")
    page.say(
        "Real architectures, random weights (load_format dummy; bfloat16, or 4-bit AWQ where so registered), "
        f"{len(bench.tasks)} made prompts with the embedded model's tokenizer, {bench.output_tokens} output tokens "
        f"each; {ALONE} of them again, one at a time. "
        "What they answer is noise: every answer counts as cut, so their status is degraded. Experts are not routed "
        "as with real weights."
    )
    for one in bench.found:
        if reason := one.lacks(bench.memory_bytes):
            page.say(f"* {one.name} {reason}")
    if not bench.fitting:
        return None
    limit_s = page.left_s - reserve_s
    if limit_s < SHORTEST_RAW_S:
        page.say("Not run: the time was up.")
        return None
    reports = _ran(bench, limit_s)
    if not (reports / "latest").exists():
        page.say("The run left nothing: see its output above.")
        return None
    run = load_run(reports / "latest")
    _tell_run(page, run)
    return run


def _ran(bench: Bench, limit_s: float) -> Path:
    """Run pytest, its output as it comes; told to stop when the time is up."""
    reports, tasks = bench.folder / "reports", bench.folder / "made.jsonl"
    (bench.folder / "models.toml").write_text(
        registry(bench.fitting, bench.output_tokens, rehearsal=bench.rehearsal)
    )
    tasks.write_text("".join(json.dumps(task) + "\n" for task in bench.tasks))
    installed = any(entry.value == "pytest_llmeval.plugin" for entry in entry_points(group="pytest11"))
    command = [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={ROOT}"),
        *([] if installed else ["-p", "pytest_llmeval.plugin"]),
        *(f"--llmeval-registry={bench.folder / 'models.toml'}", f"--llmeval-problems={tasks}"),
        *(f"--llmeval-models={','.join(one.name for one in bench.fitting)}", f"--llmeval-probe={ALONE}"),
        *(f"--llmeval-reports={reports}", "--llmeval-wrong=xfail"),
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=ROOT,
        env=bench.environment(),
        start_new_session=True,
    )
    soft = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGTERM))
    hard = threading.Timer(limit_s + STOP_WITHIN_S, os.killpg, (process.pid, signal.SIGKILL))
    for timer in (soft, hard):
        timer.start()
    assert process.stdout
    for line in process.stdout:
        print(f"    {line}", end="", flush=True)
    process.wait()
    for timer in (soft, hard):
        timer.cancel()
    return reports


def _tell_run(page: Page, run: LoadedRun) -> None:
    for section in sections(run):
        headings, *rows = section.rows
        page.say(f"### {section.title}")
        page.table(section.title, headings, rows)
        for note in section.notes:
            page.say(f"* {note}")
    page.table("loading", LOADING_HEADINGS, (_loaded_row(run, model) for model in run.models))
    page.say(
        "Kernels that were compiled while requests were served are in the figures of the batch (mostly of mixtures of "
        "experts), and lie in a cache when vLLM by itself has its turn: its ratio then favours vLLM."
    )
    for model in run.models:
        if model.reason:
            page.say(f"* {model.spec.name} is {model.status}: {model.reason.splitlines()[0]}")
    page.data["facts"] = {model.spec.name: dict(model.info.facts) for model in run.models}
    if page.out:
        page.out.mkdir(parents=True, exist_ok=True)
        for name in ("summary.json", "report.html", "manifest.json"):
            if (run.folder / name).is_file():
                shutil.copy(run.folder / name, page.out / name)


LOADING_HEADINGS = (
    *("model", "loaded in", "quantisation", "linear layers", "attention"),
    "kernels compiled while serving",
)


def _loaded_row(run: LoadedRun, model: ModelResult) -> list[str]:
    name, facts = model.spec.name, model.info.facts
    kernels = [", ".join(facts.get(kind) or ()) or "not available" for kind in ("linear", "attention")]
    compiled = _compiled_late(run.folder / "engine" / f"{name}.log")
    return [name, shown(model.info.load_s, "s"), str(facts.get("quantization") or "none"), *kernels, compiled]


def _compiled_late(log: Path) -> str:
    """How many kernels vLLM says it compiled after it was ready."""
    if not log.is_file():
        return "not available"
    return str(log.read_text(errors="replace").count("JIT compilation during inference"))


# ---------------------------------------------------------------------------------------- vLLM by itself


def raw_part(bench: Bench, run: LoadedRun | None) -> None:
    """Each model again, by vllm.LLM alone; while one is measured the next one's process has imported already."""
    page = bench.page
    page.say("## Beside vLLM by itself")
    page.say(
        "The same checkpoints, prompts and arguments in `vllm.LLM`, nothing of this package in its process. Its "
        "figures are its own stamps (RequestStateStats) and, in brackets, the wall time around `LLM.generate`."
    )
    page.table("beside raw vLLM", RAW_HEADINGS, _raw_rows(bench, run))


RAW_HEADINGS = (
    *(
        "model",
        "response, ours",
        "vLLM's",
        "first token, ours",
        "vLLM's",
        "output speed, ours",
        "vLLM's",
        "ratio",
    ),
    *("batch, ours", "vLLM's", "again", "ratio", "prompt tokens, ours / vLLM's"),
)


def _raw_rows(bench: Bench, run: LoadedRun | None) -> Iterator[list[str]]:
    ours = {model.spec.name: model for model in run.models} if run else {}
    seed = int(run.manifest.get("seed") or 0) if run else 0
    waiting = [Raw(bench, one, seed) for one in bench.fitting[:1]]
    for place, one in enumerate(bench.fitting):
        process = waiting.pop()
        if bench.page.left_s < SHORTEST_RAW_S:
            process.end()
            yield [one.name, *["not run: the time was up"] * (len(RAW_HEADINGS) - 1)]
            waiting = [Raw(bench, following, seed) for following in bench.fitting[place + 1 : place + 2]]
            continue
        process.begin()
        waiting = [Raw(bench, following, seed) for following in bench.fitting[place + 1 : place + 2]]
        found = process.result(bench.page.left_s - 5)
        bench.page.data.setdefault("raw", {})[one.name] = found
        yield _raw_row(one.name, ours.get(one.name), _prompt_tokens(run, one.name), found)


class Raw:
    """A process with vLLM alone: it imports, waits until it may `begin`, and leaves a result."""

    def __init__(self, bench: Bench, one: Checkpoint, seed: int) -> None:
        tasks = bench.tasks
        self._result = bench.folder / f"raw-{one.name}.json"
        self._log = bench.folder / f"raw-{one.name}.log"
        job = {
            "model": str(one.folder),
            "engine": {"generation_config": "vllm", "seed": 0, **one.engine},
            "prompts": [task["prompt"] for task in tasks],
            "alone": random.Random(seed).sample(
                range(len(tasks)), min(ALONE, len(tasks))
            ),  # as our probe draws
            "output_tokens": bench.output_tokens,
            "result": str(self._result),
        }
        path = bench.folder / f"raw-{one.name}-job.json"
        path.write_text(json.dumps(job))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "raw_vllm.py"), str(path)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=bench.environment(),
                start_new_session=True,
            )

    def begin(self) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(b"begin\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it died while it imported: the log says why
            pass

    def result(self, limit_s: float) -> dict[str, Any]:
        """What it measured, or `{"failed": why}`."""
        try:
            self._process.wait(max(limit_s, 1.0))
        except subprocess.TimeoutExpired:
            return {"failed": "the time was up"}
        finally:
            self.end()
        if self._result.is_file():
            return dict(json.loads(self._result.read_text()))
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        print("\n".join(f"    {line}" for line in lines[-LOG_LINES:]), flush=True)
        return {"failed": lines[-1][-200:] if lines else "it left no log"}

    def end(self) -> None:
        """Kill the group and wait for it: the next one needs the memory."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _raw_row(name: str, ours: ModelResult | None, prompt_tokens: str, raw: Mapping[str, Any]) -> list[str]:
    if "failed" in raw:
        return [name, *[f"failed: {raw['failed']}".replace("|", "/")] * (len(RAW_HEADINGS) - 1)]
    alone, batch = (ours.summary.single_stream, ours.summary.batch_tok_s) if ours else (None, None)
    response, ttft, speed = (
        (alone.response_s, alone.ttft_s, alone.output_tok_s) if alone else (None, None, None)
    )
    return [
        name,
        shown(response, "s", 3),
        f"{shown(raw.get('response_s'), 's', 3)} ({shown(raw['wall_s'], 's', 3)})",
        shown(ttft, "s", 4),
        shown(raw.get("ttft_s"), "s", 4),
        shown(speed, "tok/s"),
        shown(raw.get("output_tok_s"), "tok/s"),
        _ratio(speed, raw.get("output_tok_s")),
        shown(batch, "tok/s", 0),
        shown(raw["batch_tok_s"], "tok/s", 0),
        shown(raw["again_tok_s"], "tok/s", 0),
        _ratio(batch, raw["batch_tok_s"]),
        f"{prompt_tokens} / {raw['prompt_tokens']}",
    ]


def _prompt_tokens(run: LoadedRun | None, model: str) -> str:
    if run is None:
        return "not run"
    return str(sum(s.completion.prompt_tokens or 0 for record in run.of(model) for s in record.samples))


def _ratio(one: float | None, other: float | None) -> str:
    return f"{one / other:.3f}" if one and other else "not available"
