"""Several runs as one: what is refused, what is kept apart, which figures may be put together."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.merging import merge_into, merge_runs, read_sources
from pytest_llmeval.runs import load_run
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, Sample, Timing, Verdict
from pytest_llmeval.store import RunStore
from pytest_llmeval.testing.runs import write_run

TIMING = Timing(concurrency=4, ttft_s=0.5, decode_s=1.0, e2e_s=2.0)


def record(task: int, text: str = "x", outcome: Outcome = Outcome.PASSED, model: str = "m") -> Record:
    completion = Completion(text, "stop", completion_tokens=11, timing=TIMING)
    sample = Sample(0, completion, None, Verdict(outcome))
    return Record(model, "set", f"t/{task}", Prompt(PromptStyle.COMPLETION, "p"), (sample,))


def planned(tasks: range, model: str = "m") -> list[dict]:
    return [{"models": [model], "problem_set": "set", "tasks": [f"t/{n}" for n in tasks]}]


@pytest.fixture
def a_run(tmp_path):
    """Writes a run of `m`; `manifest` as for write_run."""

    def make(name: str, *records: Record, gpu: str = "H100", model: dict | None = None, **manifest: object):
        keys = {"generation": {"m": model or {"kind": "k"}}, "verdict": {}, "timing": {"gpus": gpu}}
        states = {"m": {"unavailable": None, "fault": None, "batch_s": 10.0}}
        given = {"keys": keys, "seed": 0, "states": states, "machine": {"gpus": [gpu]}, **manifest}
        return write_run(tmp_path / name, records, **given)

    return make


def shard(part: int, parts: int, of: range) -> dict:
    return {"shard": {"part": part, "parts": parts}, "planned": planned(of)}


def sampled(temperature: float) -> dict:
    row = {
        "problem_set": "set",
        "problems": 1,
        "sampling": {"temperature": temperature},
        "template_sha256": "",
    }
    return {"asked": {"m": [row]}}


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (
            {"model": {"kind": "k", "engine": {"dtype": "auto"}}},
            {"model": {"kind": "k", "engine": {"dtype": "half"}}},
            'm has different settings in them: model.engine.dtype: "auto" → "half"',
        ),
        (sampled(0.0), sampled(0.8), "asked.set.sampling.temperature: 0.0 → 0.8"),
        ({**sampled(0.8), "seed": 1}, {**sampled(0.8), "seed": 2}, "seed: 1 → 2"),
        (shard(1, 2, range(4)), shard(2, 3, range(4)), "one is shard 1 of 2, and other shard 2 of 3"),
        (shard(1, 2, range(4)), shard(2, 2, range(5)), "1 problems of m were selected in one of them only"),
        ({"item_passes": "any"}, {"item_passes": "all"}, "by different rules"),
    ],
)
def test_what_contradicts_is_refused_by_name_and_nothing_is_left(a_run, tmp_path, one, other, says):
    runs = [a_run("one", record(1), **one), a_run("other", record(2), **other)]
    with pytest.raises(ConfigurationError, match=r"one.*other") as refused:
        merge_runs(runs, tmp_path / "reports")
    assert says in str(refused.value)
    assert not (tmp_path / "reports").exists()


def test_a_run_named_twice_and_a_folder_that_is_none_are_refused(a_run, tmp_path):
    with pytest.raises(ConfigurationError, match="named twice"):
        merge_runs([a_run("one", record(1)), tmp_path / "one"], tmp_path / "reports")
    with pytest.raises(ConfigurationError, match="no run's folder"):
        merge_runs([tmp_path / "one", tmp_path / "gone"], tmp_path / "reports")


def test_the_same_answer_twice_is_one_and_another_answer_is_refused(a_run, tmp_path):
    one, same = a_run("one", record(1), record(2)), a_run("same", record(2), record(3))
    assert load_run(merge_runs([one, same], tmp_path)).models[0].summary.judged == 3
    for name, other in (("text", record(2, text="y")), ("verdict", record(2, outcome=Outcome.TIMEOUT))):
        with pytest.raises(ConfigurationError, match="both hold answers of m to t/2 of set, and they differ"):
            merge_runs([one, a_run(name, other)], tmp_path)
    assert len(list(tmp_path.glob("2*"))) == 1  # the half-made ones are gone


def test_like_machines_give_one_speed_and_unlike_ones_none(a_run, tmp_path):
    """One engine after the other: 22 tokens in 10 + 10 s."""
    runs = [a_run("one", record(1)), a_run("two", record(2))]
    alike = load_run(merge_runs(runs, tmp_path)).models[0]
    assert (alike.summary.batch_tok_s, alike.summary.in_batch.response_s) == (22 / 20, 2.0)
    unlike = load_run(merge_runs([runs[0], a_run("old", record(3), gpu="A100")], tmp_path)).models[0]
    assert (unlike.summary.batch_tok_s, unlike.summary.in_batch.response_s) == (None, None)
    assert unlike.summary.judged == 2
    why = 'not measured under the same conditions (gpus: "H100" → "A100")'
    assert any(why in note for note in unlike.notes)


def test_workers_that_asked_side_by_side_needed_the_longest_ones_time(a_run, tmp_path):
    """22 tokens, in 10 s and meanwhile in 8 s."""
    states = {"m": {"unavailable": None, "fault": None, "batch_s": 8.0}}
    sources = read_sources([a_run("one", record(1)), a_run("two", record(2), states=states)])
    store = RunStore(tmp_path / "merged")
    merge_into(store, sources, side_by_side=True)
    store.close()
    model = load_run(store.folder).models[0]
    assert model.summary.batch_tok_s == 22 / 10
    assert any("batch over the time of the slowest" in note for note in model.notes)


def test_each_runs_own_files_stay_apart_and_a_models_only_run_is_its_own(a_run, tmp_path):
    one = a_run("one", record(1))
    other = write_run(tmp_path / "x/one", [record(1, model="n")])  # two machines, one second, one id
    for folder, model in ((one, "m"), (other, "n")):
        (folder / "engine").mkdir()
        (folder / "engine" / f"{model}.log").write_text(f"{model}\n")
    folder = merge_runs([one, other], tmp_path / "reports")
    assert (folder / "engine/n.log").read_text() == "n\n"
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["one", "one~2"]
    assert json.loads((folder / "runs/one~2/manifest.json").read_text())["selected"] == {"n": 1}
    assert [str(model.status) for model in load_run(folder).models] == ["complete", "complete"]


def test_telemetry_that_lies_with_each_run_is_not_called_switched_off(a_run, tmp_path):
    runs = [a_run("one", record(1)), a_run("two", record(2))]
    assert "--llmeval-telemetry is off" in load_run(merge_runs(runs, tmp_path)).costs["m"].why["telemetry"]
    for folder in runs:
        (folder / "telemetry").mkdir()
        (folder / "telemetry/m.json").write_text("{}")
    apart = load_run(merge_runs(runs, tmp_path)).costs["m"].why["telemetry"]
    assert apart == "the model was watched in several runs: each one's telemetry stands in runs/"


def test_a_fault_that_a_second_run_made_up_for_is_none(a_run, tmp_path):
    states = {"m": {"unavailable": None, "fault": "the engine died", "batch_s": None}}
    died = a_run("died", record(1), states=states, planned=planned(range(1, 4)))
    half = load_run(merge_runs([died, a_run("second", record(2))], tmp_path)).models[0]
    assert (half.status, half.selected, half.reason) == ("faulted", 3, "died: the engine died")
    again = load_run(merge_runs([died, a_run("again", record(2), record(3))], tmp_path)).models[0]
    assert again.status == "complete"


def test_reused_samples_keep_naming_the_run_that_generated_them(a_run, tmp_path):
    old = record(1)
    old = replace(old, samples=(replace(old.samples[0], reused_from="before"),))
    run = load_run(merge_runs([a_run("one", old), a_run("two", record(2), gpu="A100")], tmp_path))
    assert [run.whole(name).samples[0].reused_from for name in sorted(run.records)] == ["before", "two"]


def test_files_for_people_are_written_as_by_the_first_run_also_of_merged_runs(a_run, tmp_path):
    keys = {"generation": {"m": {"kind": "k"}}, "verdict": {"level": "auto"}, "timing": {"cores": 2}}
    runs = [a_run(f"run{n}", record(n), predictions="none", keys=keys) for n in range(3)]
    pair = merge_runs(runs[:2], tmp_path / "reports")
    every = merge_runs([pair, runs[2]], tmp_path / "reports")
    assert len(load_run(every).records) == 3
    assert not list((tmp_path / "reports").glob("*/predictions"))
