"""Records on disk: what is written is what is read, whatever a model wrote."""

from __future__ import annotations

import json
import resource
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.schema import (
    Completion,
    Keys,
    Outcome,
    Program,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Timing,
    Verdict,
)
from pytest_llmeval.store import (
    GENERATIONS,
    Generation,
    RunStore,
    decode,
    encode,
    file_name,
    read_generations,
    read_records,
)

any_text = st.text(st.characters(codec=None) | st.sampled_from("\ud800\udfff\x00\u202e"), max_size=40)


def a_record(text: str = "x", task_id: str = "HumanEval/0") -> Record:
    sample = Sample(
        index=0,
        completion=Completion(text, "stop", 3, 1, timing=Timing(concurrency=2, ttft_s=0.25)),
        program=Program(text, "rule", ("dedent",)),
        verdict=Verdict(Outcome.WRONG_ANSWER, text, text),
    )
    return Record("model", "humaneval", task_id, Prompt(PromptStyle.COMPLETION, text), (sample,))


@given(any_text)
def test_a_record_survives_the_disk_whatever_its_text(text):
    record = a_record(text)
    line = encode(record)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert decode(line) == record


def test_a_line_cut_short_is_not_a_record(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(encode(a_record()) + encode(a_record())[:-20])
    assert list(read_records(path)) == [a_record()]


def test_a_whole_line_that_is_no_record_is_named_by_number(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(encode(a_record()) + b"{}\n")
    with pytest.raises(LLMEvalError, match="line 2 is not a Record"):
        list(read_records(path))


def test_a_record_is_found_again_by_its_name(tmp_path):
    store = RunStore(tmp_path / "run")
    records = [a_record(str(n), f"HumanEval/{n}") for n in range(5)]
    for record in records:
        store.append(record)
    assert [store.get(record.record_id) for record in records] == records
    assert store.get(a_record(task_id="HumanEval/9").record_id) is None


@given(st.text(min_size=1, max_size=300).filter(lambda s: s.isprintable()))
def test_any_name_stays_one_component_of_a_path(name):
    component = file_name(name)
    assert "/" not in component
    assert component not in {".", ".."}
    assert len(component.encode()) <= 255 - len(".json")


def test_a_hostile_task_id_stays_in_its_folder(tmp_path):
    store = RunStore(tmp_path / "run")
    store.append(a_record(task_id="../../escape"))
    assert not (tmp_path / "escape.json").exists()
    assert len(list((tmp_path / "run/predictions").rglob("*.json"))) == 1


@contextmanager
def no_file_grows_beyond(size: int):
    """The kernel takes the bytes up to `size` and refuses the rest, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_clear_error_and_keeps_what_was_written(tmp_path):
    store = RunStore(tmp_path / "run")
    store.append(a_record())
    size = store.results_path.stat().st_size
    with (
        no_file_grows_beyond(size + 100),
        pytest.raises(
            LLMEvalError, match=r"results.jsonl cannot be written: File too large\. Records written"
        ),
    ):
        store.append(a_record(task_id="HumanEval/1"))
    assert store.results_path.stat().st_size == size, "the part that was taken is cut away again"
    store.append(a_record(task_id="HumanEval/2"))  # someone made room
    assert [r.task_id for r in store.records()] == ["HumanEval/0", "HumanEval/2"]
    assert store.get(a_record(task_id="HumanEval/2").record_id) is not None


@pytest.mark.parametrize("kept", [0, 1, 3])
@pytest.mark.parametrize("torn", [b"{", b'{"a": "' + b"x" * 200_000], ids=["short", "long"])
def test_a_torn_last_line_is_cut_before_more_is_appended(tmp_path, kept, torn):
    path = tmp_path / "run/results.jsonl"
    path.parent.mkdir()
    path.write_bytes(encode(a_record()) * kept + torn)
    store = RunStore(tmp_path / "run")
    store.append(a_record(task_id="HumanEval/1"))
    assert [r.task_id for r in store.records()] == ["HumanEval/0"] * kept + ["HumanEval/1"]


def test_threads_append_whole_lines(tmp_path):
    store = RunStore(tmp_path / "run")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.append, [a_record(str(n) * 500, f"HumanEval/{n}") for n in range(100)]))
    assert {r.task_id for r in store.records()} == {f"HumanEval/{n}" for n in range(100)}
    assert all(store.get(r.record_id) == r for r in store.records())


def test_a_time_that_is_no_number_is_refused_not_written(tmp_path):
    store = RunStore(tmp_path / "run")
    timing = Timing(concurrency=1, e2e_s=float("nan"))
    sample = replace(a_record().samples[0], completion=Completion("x", timing=timing))
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.append(replace(a_record(), samples=(sample,)))
    assert store.results_path.read_bytes() == b""


def test_a_generation_survives_the_disk(tmp_path):
    store = RunStore(tmp_path / "run")
    kept = Generation(
        "m", "humaneval", "HumanEval/0", 3, Completion("\ud800"), Keys("g", "", "t"), {"prompt": "p"}
    )
    store.keep(kept)
    assert list(read_generations(tmp_path / "run" / GENERATIONS)) == [kept]


def test_documents_are_strict_json(tmp_path):
    store = RunStore(tmp_path / "run")
    store.write_json("x.json", {"timing": Timing(concurrency=1), "path": tmp_path})
    assert json.loads((tmp_path / "run/x.json").read_text())["timing"]["concurrency"] == 1


def test_a_document_holds_whatever_text_there_is(tmp_path):
    store = RunStore(tmp_path)
    store.write_json("summary.json", {"reason": "an engine's log: \ud800", "where": tmp_path})
    read = json.loads((tmp_path / "summary.json").read_text())
    assert read == {"reason": "an engine's log: \ud800", "where": str(tmp_path)}
