"""Runs packed with zstd: read like any other, and as safe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.runs import load_run
from pytest_llmeval.schema import Completion, Keys, Outcome, Prompt, PromptStyle, Record, Sample, Verdict
from pytest_llmeval.store import (
    MANIFEST,
    Generation,
    RunStore,
    located,
    read_generations,
    read_records,
    read_with_places,
)
from pytest_llmeval.store.packed import frames
from pytest_llmeval.testing.runs import write_run

pytest.importorskip("zstandard")


def a_record(task: int, text: str = "x\ud800", outcome: Outcome = Outcome.PASSED) -> Record:
    sample = Sample(0, Completion(text, "stop"), None, Verdict(outcome))
    return Record("m", "set", f"t/{task}", Prompt(PromptStyle.COMPLETION, "p"), (sample,))


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "run", packed=True)


def test_every_record_is_found_again_alone_and_in_turn(store):
    records = [a_record(n, str(n) * (200_000 if n == 1 else 3)) for n in range(4)]
    for record in records:
        store.append(record)
    assert [store.get(record.record_id) for record in records] == records
    assert list(store.records()) == records
    assert [record for _, record in read_with_places(store.results_path)] == records


def test_threads_append_whole_frames(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.append, map(a_record, range(50))))
    assert {record.task_id for record in store.records()} == {f"t/{n}" for n in range(50)}


@pytest.mark.parametrize("lost", [1, 10])
def test_a_frame_cut_short_by_a_crash_is_neither_read_nor_built_upon(store, lost):
    for n in range(3):
        store.append(a_record(n))
    path = store.results_path
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - lost)
    assert [record.task_id for record in store.records()] == ["t/0", "t/1"]
    again = RunStore(store.folder, packed=True)
    again.append(a_record(9))
    assert [record.task_id for record in again.records()] == ["t/0", "t/1", "t/9"]
    assert len(list(frames(path))) == 3


@pytest.mark.parametrize(
    "read", [lambda path: list(read_with_places(path)), lambda path: list(read_records(path))]
)
def test_a_file_that_was_spoiled_is_named(store, read):
    store.append(a_record(1))
    with store.results_path.open("ab") as file:
        file.write(bytes(100))  # what a file system leaves of blocks that were never written
    with pytest.raises(LLMEvalError, match=r"results\.jsonl\.zst cannot be unpacked"):
        read(store.results_path)


def test_answers_are_packed_once_the_run_is_over(store):
    one = Generation("m", "set", "t/0", 0, Completion("x" * 1000), Keys(), {})
    for _ in range(50):
        store.keep(one)
    plain = store.folder / "generations.jsonl"
    assert plain.stat().st_size > 50_000  # plain, as long as a kill could spoil them
    store.close()
    assert not plain.exists()
    assert located(plain).stat().st_size < 5_000
    assert list(read_generations(located(plain))) == [one] * 50


def test_a_packed_run_is_loaded_like_any_other(tmp_path):
    plain = load_run(write_run(tmp_path / "plain", [a_record(1), a_record(2, outcome=Outcome.TIMEOUT)]))
    packed = RunStore(tmp_path / "packed", packed=True)
    for name in plain.records:
        packed.append(plain.whole(name))
    packed.write_json(MANIFEST, plain.manifest)
    run = load_run(tmp_path / "packed")
    assert run.models == plain.models
    assert [run.whole(name) for name in run.records] == [plain.whole(name) for name in plain.records]
    assert list(run.rows()) == list(plain.rows())


@pytest.mark.parametrize(("predictions", "files"), [("all", 2), ("failed", 1), ("none", 0)])
def test_files_for_people_are_written_of_those_items_that_are_wanted(tmp_path, predictions, files):
    store = RunStore(tmp_path / "run", predictions)
    store.append(a_record(1))
    store.append(a_record(2, outcome=Outcome.TIMEOUT))
    assert len(list((tmp_path / "run").rglob("predictions/**/*.json"))) == files
