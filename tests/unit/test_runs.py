"""A run read back: what was written, whatever happened to it."""

from __future__ import annotations

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.results import Status
from pytest_llmeval.runs import load_run
from pytest_llmeval.schema import Completion, Outcome, Prompt, PromptStyle, Record, Sample, Verdict
from pytest_llmeval.testing.runs import write_run


def record(task: int, outcome: Outcome = Outcome.PASSED) -> Record:
    sample = Sample(0, Completion("the answer", "stop"), None, Verdict(outcome))
    return Record("m", "set", f"t/{task}", Prompt(PromptStyle.COMPLETION, "p"), (sample,))


def test_it_gives_typed_results_and_whole_records(tmp_path):
    run = load_run(write_run(tmp_path / "run", [record(10), record(2, Outcome.TIMEOUT)]))
    assert [(m.spec.name, m.status, m.summary.pass_at_1) for m in run.models] == [("m", Status.COMPLETE, 0.5)]
    assert run.problems == (("set", "t/2"), ("set", "t/10"))
    assert run.whole(record(10).record_id) == record(10)
    assert run.records[record(10).record_id].samples[0].completion.text == ""  # memory holds no texts
    assert [(row["task_id"], row["outcome"]) for row in run.rows()] == [
        ("t/10", "passed"),
        ("t/2", "timeout"),
    ]


def test_of_a_killed_run_it_reads_what_is_whole(tmp_path):
    folder = write_run(tmp_path / "run", [record(1), record(2)], selected={"m": 3})
    with (folder / "results.jsonl").open("ab") as file:
        file.write(b'{"model": "m", "problem')
    run = load_run(folder)
    assert [(m.status, m.summary.judged, m.selected) for m in run.models] == [(Status.INCOMPLETE, 2, 3)]
    assert run.seconds is None


def test_of_a_record_that_was_written_twice_the_later_holds(tmp_path):
    run = load_run(write_run(tmp_path / "run", [record(1, Outcome.TIMEOUT), record(1)], selected={"m": 1}))
    assert run.models[0].summary.pass_at_1 == 1.0


@pytest.mark.parametrize("content", [None, "nonsense", "[]", "{}"])
def test_a_folder_that_is_no_run_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        load_run(tmp_path)
