"""Baselines: what is read of a run, the compact file, runs that do not repeat one another."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pytest_llmeval.errors import ConfigurationError, LLMEvalError
from pytest_llmeval.gate.baseline import Baseline, join, load_baseline, write_baseline
from pytest_llmeval.gate.conditions import without_folder
from pytest_llmeval.gate.figures import ModelFigures, RunFigures, Tally, Task
from pytest_llmeval.gate.judge import Gate, Scope
from pytest_llmeval.gate.measures import energy_per_token, memory_peak
from pytest_llmeval.gate.reading import read_run, tally_of
from pytest_llmeval.gate.rules import Policy
from pytest_llmeval.schema import Completion, Outcome, Program, Prompt, PromptStyle, Record, Sample, Verdict
from pytest_llmeval.store import RunStore
from pytest_llmeval.testing.runs import write_run

MODEL = ModelFigures(
    tallies={Task("s", "T/10"): Tally(2, 1, 0, 1, 12.5, "ab"), Task("s", "T/9"): Tally(2, 2)},
    selected=2,
    measures={"response_time": 1.5},
    conditions={"device": "H100 [80 GiB]"},
    settings={"sampling.stop": '["\\n[\\n  x", "a   b"]'},
)
RUN = RunFigures("20261101", "2026-11-01T00:00:00", {"m": MODEL})


def test_the_compact_file_holds_all_of_it_one_problem_a_line(tmp_path):
    path = tmp_path / "b.json"
    calibration = replace(RUN, run_id="2", models={"m": replace(MODEL, measures={"response_time": 1.6})})
    write_baseline(Baseline("x", [RUN, calibration]), path)
    loaded = load_baseline(path)
    assert loaded.first == RUN
    assert loaded.measured("m", "response_time") == [1.5, 1.6]
    assert loaded.describe() == f"run 20261101 of 2026-11-01, 2 runs in all, from {path}"
    rows = [line.strip() for line in path.read_text().splitlines() if '"T/' in line]
    assert rows == ['"T/9": [ 2, 2, 0, 0, null, "" ],', '"T/10": [ 2, 1, 0, 1, 12.5, "ab" ]']


def test_runs_under_other_conditions_are_no_calibration():
    other = replace(RUN, run_id="2", models={"m": replace(MODEL, conditions={"device": "H200"})})
    with pytest.raises(ConfigurationError, match=r"2 does not repeat 20261101: m: device: H100 .* → H200"):
        join([RUN, other], "x")
    with pytest.raises(ConfigurationError, match="calibration run 2 lacks the model m"):
        join([RUN, replace(RUN, run_id="2", models={})], "x")


@pytest.mark.parametrize(
    "text", ["[]", "{}", "not json", '{"kind": "pytest-llmeval baseline", "schema_version": 1}']
)
def test_what_is_no_baseline_is_refused_with_the_way_out(tmp_path, text):
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"b\.json"):
        load_baseline(path)


def sample(index: int, outcome: Outcome, tokens: int) -> Sample:
    return Sample(
        index, Completion("x", "stop", completion_tokens=tokens), Program("x", "r"), Verdict(outcome)
    )


@pytest.fixture
def folder(tmp_path):
    """A run as it lies on disk: a problem with a fault among its samples, one that is all faults, a probe."""
    store = RunStore(tmp_path)
    prompt = Prompt(PromptStyle.CHAT, "p")
    mixed = (
        sample(0, Outcome.PASSED, 10),
        sample(1, Outcome.NO_CODE, 20),
        sample(2, Outcome.SANDBOX_ERROR, 99),
    )
    store.append(Record("m", "s", "T/0", prompt, mixed))
    store.append(Record("m", "s", "T/1", prompt, (sample(0, Outcome.SANDBOX_ERROR, 5),)))
    store.close()
    times = [{"e2e_s": 1.0, "ttft_s": 0.1, "decode_s": 0.5}, {"e2e_s": 3.0, "ttft_s": 0.3, "decode_s": 1.0}]
    answers = [{"completion_tokens": 11, "timing": timing} for timing in times]
    answers.append({"completion_tokens": 11, "timing": {"e2e_s": 99.0, "disturbed": "it died"}})
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine/m.probe.json").write_text(json.dumps({"completions": answers}))
    manifest = {"run_id": "r", "selected": {"m": 3}, "machine": {"gpus": ["H100"]}, "seed": 0}
    manifest["models"] = {"m": {"model": "/home/me/weights", "sampling": {"temperature": 0.0}}}
    manifest["asked"] = {"m": [{"problem_set": "s", "problems": 3, "sampling": {"temperature": 0.7, "n": 3}}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    figures = {"batch_tok_s": 400.0}
    summary = {"models": {"m": {"status": "faulted", "reason": "out of memory", "figures": figures}}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    return tmp_path


def test_a_run_is_read_from_what_it_left(folder):
    model = read_run(folder).models["m"]
    assert model.tallies == {
        Task("s", "T/0"): Tally(2, 1, 1, 0, 15.0, model.tallies[Task("s", "T/0")].prompt)
    }
    assert (model.selected, model.faults, model.reason, model.greedy) == (3, 2, "out of memory", False)
    assert model.measures == pytest.approx(
        {"response_time": 2.0, "first_token": 0.2, "output_speed": 15.0, "batch_speed": 400.0}
    )
    assert (model.conditions["device"], model.conditions["sampling.temperature"]) == ("H100", "0.7")
    assert model.settings["model"] == "weights"  # whose folder it lies in is nobody's business


def test_greedy_answers_to_a_problem_are_one_sample_however_many_there_are(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["asked"]["m"][0]["sampling"]["temperature"] = 0.0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    model = read_run(folder).models["m"]
    assert model.greedy
    assert [tally.n for tally in model.tallies.values()] == [1]


def test_floors_hold_what_was_drawn_as_the_leaderboard_does(folder, tmp_path):
    """At temperature 0, too, where answers to a problem are one for comparisons: it may have differed by chance."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["asked"]["m"][0]["sampling"]["temperature"] = 0.0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    run = read_run(folder)
    rules = Policy.model_validate({"floors": ["pass@1 >= 0.5"]})
    scope = Scope(("m",), {"m": run.models["m"].tallies})
    [floor] = [one for one in Gate(rules).judge(run, scope) if one.rule == "pass@1>=0.5"]
    assert floor.says == "pass@1 is 50.0 % on 1 problem, at or above its floor of 50 %"
    write_baseline(Baseline("x", [run]), tmp_path / "b.json")
    assert load_baseline(tmp_path / "b.json").first.models["m"].drawn == {}


def test_without_a_manifest_answers_that_never_differ_are_taken_for_greedy(folder):
    (folder / "manifest.json").unlink()
    assert read_run(folder).models["m"].greedy  # both samples of T/0 read the same


def test_samples_from_a_file_are_greedy_only_if_they_look_it(tmp_path):
    """How they were drawn is not known: a file that holds right and wrong answers to a problem was not greedy."""
    one, other = sample(0, Outcome.PASSED, 3), sample(1, Outcome.TIMEOUT, 3)
    other = replace(other, completion=replace(other.completion, text="other"))
    record = Record("m", "s", "T/1", Prompt(PromptStyle.COMPLETION, "p"), (one, other))
    row = {"problem_set": "s", "problems": 1, "sampling": {"n": 2, "temperature": 0.0}}
    replayed = {"m": {"name": "m", "model": "samples.jsonl", "kind": "replay"}}
    model = read_run(write_run(tmp_path / "run", [record], models=replayed, asked={"m": [row]})).models["m"]
    assert not model.greedy
    tally = model.tallies[Task("s", "T/1")]
    assert (tally.n, tally.passed) == (2, 1)


def test_records_alone_are_a_baseline_without_speeds(folder, tmp_path):
    for name in ("manifest.json", "summary.json", "engine/m.probe.json"):
        (folder / name).unlink()
    figures = load_baseline(folder / "results.jsonl").figures("m")
    assert (figures.measures, figures.conditions, len(figures.tallies)) == ({}, {}, 1)


def test_a_folder_without_records_is_no_run(tmp_path):
    with pytest.raises(ConfigurationError, match=r"is no run: it holds no results\.jsonl"):
        load_baseline(tmp_path)


def test_answers_of_an_earlier_run_give_no_batch_speed(folder):
    reused = Record(
        "m",
        "s",
        "T/2",
        Prompt(PromptStyle.CHAT, "p"),
        (replace(sample(0, Outcome.PASSED, 1), reused_from="r0"),),
    )
    store = RunStore(folder)
    store.append(reused)
    store.close()
    assert "batch_speed" not in read_run(folder).models["m"].measures


def test_energy_and_memory_come_from_telemetry_where_it_is_whole():
    gpu = {"energy_j": 50.0, "memory_peak_bytes": 10}
    phases = [
        {"name": "load", "devices": [{"memory_peak_bytes": 30}, gpu]},
        {"name": "batch", "devices": [gpu, gpu]},
    ]
    telemetry = {"phases": phases, "output_tokens": 200}
    assert (energy_per_token(telemetry), memory_peak(telemetry)) == (0.5, 40)
    phases[1]["devices"] = [gpu, {**gpu, "energy_j": None}]
    assert energy_per_token(telemetry) is None
    assert memory_peak({"phases": [{"name": "batch", "devices": [], "host": {"rss_peak_bytes": 7}}]}) == 7
    assert energy_per_token({}) is memory_peak({}) is None


def test_a_hub_id_keeps_its_name():
    assert without_folder("Qwen/Qwen3-8B") == "Qwen/Qwen3-8B"


def test_a_packed_results_file_is_a_baseline_like_any_other(tmp_path):
    pytest.importorskip("zstandard")
    store = RunStore(tmp_path / "run", packed=True)
    store.append(
        Record("m", "s", "T/1", Prompt(PromptStyle.COMPLETION, "p"), (sample(0, Outcome.PASSED, 3),))
    )
    store.close()
    loaded = load_baseline(store.results_path)
    assert loaded.first.models["m"].tallies[Task("s", "T/1")].passed == 1


def test_answers_that_are_begun_otherwise_are_asked_otherwise():
    """Speeds were compared, and no prompt was said to differ."""
    plain = Prompt(PromptStyle.CHAT, "p")
    asked = [
        tally_of(Record("m", "s", "t", prompt, (Sample(0, Completion("x"), None, Verdict(Outcome.PASSED)),)))
        for prompt in (plain, replace(plain, assistant_prefill="```python\n"))
    ]
    assert asked[0].prompt != asked[1].prompt


@pytest.mark.parametrize("name", ["manifest.json", "summary.json", "telemetry/m.json", "engine/m.probe.json"])
def test_what_was_copied_in_part_is_not_taken_for_what_was_not_measured(tmp_path, name):
    folder = write_run(tmp_path / "run", [Record("m", "s", "t", Prompt(PromptStyle.CHAT, "p"), ())])
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text('{"models": {"m"')
    with pytest.raises(LLMEvalError, match=f"{name} is damaged .*: copy the run once more"):
        read_run(folder)
