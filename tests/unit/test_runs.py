"""A run read back: what was written, whatever happened to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_llmeval.errors import ConfigurationError, LLMEvalError
from pytest_llmeval.metrics.summary import figures_of, summarise
from pytest_llmeval.runs import load_run
from pytest_llmeval.runs.results import Status
from pytest_llmeval.schema import (
    Completion,
    Outcome,
    Program,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Timing,
    Verdict,
)
from pytest_llmeval.testing.runs import write_run


def record(task: int, outcome: Outcome = Outcome.PASSED) -> Record:
    sample = Sample(0, Completion("the answer", "stop"), None, Verdict(outcome))
    return Record("m", "set", f"t/{task}", Prompt(PromptStyle.COMPLETION, "p"), (sample,))


def asked(problems: int) -> dict:
    return {"m": [{"problem_set": "set", "problems": problems}]}


def test_it_gives_typed_results_and_whole_records(tmp_path):
    run = load_run(write_run(tmp_path / "run", [record(10), record(2, Outcome.TIMEOUT)]))
    assert [(x.name, x.problem_set, x.status, x.figures.pass_at_1) for x in run.lines] == [
        ("m", "set", Status.COMPLETE, 0.5)
    ]
    assert run.problems == (("set", "t/2"), ("set", "t/10"))
    assert run.whole(record(10).record_id) == record(10)
    assert run.records[record(10).record_id].samples[0].completion.text == ""  # memory holds no texts
    assert [(row["task_id"], row["outcome"]) for row in run.rows()] == [
        ("t/10", "passed"),
        ("t/2", "timeout"),
    ]


def test_problems_are_in_natural_order_whatever_their_names_hold(tmp_path):
    tasks = ("x²/10", "x²/9", "2²", "10", "")
    records = [replace(record(1), task_id=task) for task in tasks]
    assert [task for _, task in load_run(write_run(tmp_path / "run", records)).problems] == [
        "", "2²", "10", "x²/9", "x²/10",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema_version": 99}, "schema_version 99; this version reads 1"),
        ({"run_id": None}, "lacks run_id"),
        ({"started_at": "yesterday"}, "lacks started_at"),
        ({"asked": None}, "lacks asked"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_what_is_wrong_with_it(tmp_path, changes, says):
    with pytest.raises(ConfigurationError, match=f"manifest.json.*{says}"):
        load_run(write_run(tmp_path / "run", [record(1)], **changes))


@pytest.mark.parametrize("name", ["engine/m.probe.json", "telemetry/m.json"])
@pytest.mark.parametrize("content", ['{"completions": [{"text": "an an', "{}", "[]"])
def test_a_file_that_was_copied_in_part_is_named(tmp_path, name, content):
    folder = write_run(tmp_path / "run", [record(1)])
    (folder / name).parent.mkdir()
    (folder / name).write_text(content)
    with pytest.raises(LLMEvalError, match=f"{name} is damaged .*: copy the run once more"):
        load_run(folder)


def test_of_a_killed_run_it_reads_what_is_whole(tmp_path):
    folder = write_run(tmp_path / "run", [record(1), record(2)], asked=asked(3))
    with (folder / "results.jsonl").open("ab") as file:
        file.write(b'{"model": "m", "problem')
    run = load_run(folder)
    assert [(m.status, m.summary.judged, m.selected) for m in run.models] == [(Status.INCOMPLETE, 2, 3)]
    assert run.seconds is None


def a_hundred(outcome: Outcome, count: int) -> list[Record]:
    return [record(n, outcome if n < count else Outcome.PASSED) for n in range(100)]


@pytest.mark.parametrize(
    ("outcome", "count", "status", "reason"),
    [
        (Outcome.TRUNCATED, 1, Status.COMPLETE, ""),
        (Outcome.TRUNCATED, 2, Status.DEGRADED, "2.0 % of its answers failed after being cut at their length limit"),
        (Outcome.SANDBOX_ERROR, 1, Status.COMPLETE, ""),
        (Outcome.SANDBOX_ERROR, 3, Status.DEGRADED, "3.0 % of its problems could not be judged"),
        (Outcome.SANDBOX_ERROR, 100, Status.FAULTED, ""),
    ],
)  # fmt: skip
def test_more_than_one_in_a_hundred_faults_or_cut_answers_degrade_a_model(
    tmp_path, outcome, count, status, reason
):
    run = load_run(write_run(tmp_path / "run", a_hundred(outcome, count)))
    assert [(m.status, m.reason) for m in run.models] == [(status, reason)]


def test_what_stopped_a_model_is_told_before_what_degrades_it(tmp_path):
    records = a_hundred(Outcome.TRUNCATED, 50)
    stopped = load_run(write_run(tmp_path / "stopped", records, asked=asked(101)))
    assert stopped.models[0].status is Status.INCOMPLETE
    states = {"m": {"unavailable": None, "fault": "it died", "batch_s": None}}
    died = load_run(write_run(tmp_path / "died", records, states=states))
    assert (died.models[0].status, died.models[0].reason) == (Status.FAULTED, "it died")


def test_of_a_record_that_was_written_twice_the_later_holds(tmp_path):
    run = load_run(write_run(tmp_path / "run", [record(1, Outcome.TIMEOUT), record(1)]))
    assert run.models[0].problem_sets["set"].pass_at_1 == 1.0


@pytest.mark.parametrize("content", [None, "nonsense", "[]", "{}"])
def test_a_folder_that_is_no_run_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        load_run(tmp_path)


def test_memory_holds_all_that_figures_are_made_of(tmp_path):
    def sample(index: int, passed: bool, timing: Timing | None = None, **rest: Any) -> Sample:
        verdict = (
            Verdict(Outcome.PASSED) if passed else Verdict(Outcome.TIMEOUT, f"detail {index}", "output", 1.5)
        )
        completion = Completion(f"text {index}", "stop", 7, index + 3, timing=timing)
        return Sample(index, completion, Program("source", "rule", ("dedent",)), verdict, **rest)

    timed = Timing(concurrency=4, ttft_s=0.5, e2e_s=2.0)
    samples = (
        sample(0, True, timed, exact_match=True),
        sample(1, False, replace(timed, e2e_s=3.0, disturbed="died")),
        sample(2, False, reused_from="before"),
        sample(5, False),
    )
    one = replace(record(1), samples=samples)
    held = load_run(write_run(tmp_path / "run", [one])).records[one.record_id]
    assert (held.n, held.judged, held.correct, len(held.samples)) == (4, 4, 1, 4)
    assert [s.index for s in held.samples] == [0, 1, 2, 5]
    assert [s.completion.timing for s in held.samples] == [s.completion.timing for s in samples]
    assert [s.completion.completion_tokens for s in held.samples] == [3, 4, 5, 8]
    assert [s.verdict.detail for s in held.samples] == ["", "detail 1", "", ""]
    assert [(s.exact_match, s.reused_from, s.program and s.program.repairs) for s in held.samples] == [
        (s.exact_match, s.reused_from, ("dedent",)) for s in samples
    ]
    assert held.samples[-1] == held.samples[3]
    assert held.samples[:2] == (held.samples[0], held.samples[1])
    assert summarise([], [held], batch_s=2.0) == summarise([], [one], batch_s=2.0)
    assert figures_of([held]) == figures_of([one])


def test_samples_read_back_are_what_was_written_but_for_their_texts(tmp_path):
    timing = Timing(4, 0.1, None, 1.0, 1.5)
    samples = tuple(
        Sample(
            i,
            Completion("", "stop", 5, i or None, timing=timing if i else None),
            None,
            Verdict(Outcome.PASSED),
        )
        for i in (0, 1, 3)
    )
    written = Record("m", "set", "t/0", Prompt(PromptStyle.COMPLETION, "p"), samples)
    read = load_run(write_run(tmp_path / "run", [written])).records[written.record_id]
    assert tuple(read.samples) == samples == tuple(read.samples[place] for place in range(3))
    assert read.samples[-1] == samples[-1]
    assert read.verdicts == written.verdicts
