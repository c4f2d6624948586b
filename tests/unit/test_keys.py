"""The three keys: equal where one sample may stand for another, different where it may not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmeval.keys import RunKeys, differences, key_of
from pytest_llmeval.keys.settings import generation_settings
from pytest_llmeval.keys.weights import WHOLE_BYTES, identify
from pytest_llmeval.schema import ModelSpec, Problem, Program, Prompt, PromptStyle, Request, Sampling

SPEC = ModelSpec("m", "org/name", engine={"max_model_len": 2048, "dtype": "auto"})
PROMPT = Prompt(PromptStyle.COMPLETION, "def f():\n")
HOT = Sampling(temperature=0.8, seed=1)
PROBLEM = Problem("set", "set/0", "def f():\n", "f", "def check(candidate): pass", "    pass\n")


def generation_key(
    spec: ModelSpec = SPEC, prompt: Prompt = PROMPT, sampling: Sampling = HOT, index: int = 0, seed: int = 0
) -> str:
    keys = RunKeys(seed, {}, {})
    request = Request("r", "set/0", prompt, sampling, index)
    return keys.of_generation(spec, request, keys.asked(prompt, sampling)).generation


@pytest.mark.parametrize(
    "changed",
    [
        {"spec": replace(SPEC, model="org/other")},
        {"spec": replace(SPEC, revision="v2")},
        {"spec": replace(SPEC, engine={"max_model_len": 4096, "dtype": "auto"})},
        {"spec": replace(SPEC, environment={"VLLM_FLAG": "1"})},
        {"spec": replace(SPEC, environment={"TOKENIZERS_FLAG": "1"})},
        {"spec": replace(SPEC, kind="transformers")},
        {"prompt": replace(PROMPT, text="def g():\n")},
        {"prompt": replace(PROMPT, system="be brief")},
        {"sampling": replace(HOT, top_p=0.9)},
        {"sampling": replace(HOT, seed=2)},
        {"sampling": replace(HOT, stop=("\n",))},
        {"index": 1},
        {"seed": 1},
    ],
    ids=str,
)
def test_whatever_decides_an_answer_changes_its_generation_key(changed):
    assert generation_key(**changed) != generation_key()


@pytest.mark.parametrize(
    "changed",
    [
        {"spec": replace(SPEC, name="renamed", description="other", categories=("x",))},
        {"spec": replace(SPEC, engine={"dtype": "auto", "max_model_len": 2048})},
        {"spec": replace(SPEC, environment={"HF_TOKEN": "hf_abc"})},
        {"spec": replace(SPEC, environment={"PROXY_PASSWD": "hunter2"})},
        {"sampling": replace(HOT, n=20)},
    ],
    ids=str,
)
def test_what_does_not_decide_an_answer_leaves_the_key(changed):
    assert generation_key(**changed) == generation_key()


def test_a_greedy_answer_does_not_depend_on_seeds():
    greedy = Sampling(temperature=0.0)
    assert generation_key(sampling=greedy) == generation_key(sampling=replace(greedy, seed=5), seed=9)


def test_keys_are_the_same_on_every_machine():
    assert key_of({"b": 1, "a": [1.5, None, "ü\ud800"]}) == key_of({"a": [1.5, None, "ü\ud800"], "b": 1})
    assert key_of({"a": 1}) == "b713f6d2a989e907c58516a7c8bb4877"


def test_program_tests_and_limits_change_the_verdict_key():
    keys = RunKeys(0, {"limits": {}}, {})
    program = Program("pass", "rule")
    known = {
        keys.of_verdict(program, PROBLEM),
        keys.of_verdict(None, PROBLEM),
        keys.of_verdict(replace(program, source="x"), PROBLEM),
        keys.of_verdict(program, replace(PROBLEM, test="def check(candidate): assert 0")),
        keys.of_verdict(program, replace(PROBLEM, canonical_solution="    return 1\n")),
        RunKeys(0, {"limits": {"wall_s": 3}}, {}).of_verdict(program, PROBLEM),
    }
    assert len(known) == 6
    assert keys.of_verdict(replace(program, rule="other"), PROBLEM) in known


def test_differences_are_named_with_both_values():
    before = {"engine": {"max_model_len": 2048, "gone": 1}, "weights": {"commit": "a"}, "same": (1, 2)}
    now = {"engine": {"max_model_len": 4096}, "weights": {"commit": "b"}, "same": [1, 2], "new": {"x": True}}
    assert differences(before, now) == [
        "engine.max_model_len: 2048 → 4096",
        "engine.gone: 1 → not set",
        'weights.commit: "a" → "b"',
        "new.x: not set → true",
    ]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    with (folder / "model.safetensors").open("wb") as large:
        large.truncate(2 * WHOLE_BYTES)
    return folder


def told(folder: Path) -> object:
    return identify(ModelSpec("m", str(folder)))


def test_weights_of_this_machine_are_known_by_content_and_not_by_place(weights):
    before = told(weights)
    moved = weights.rename(weights.parent / "elsewhere")
    assert told(moved) == before
    (moved / "tokenizer.json").write_text('{"other": 1}')
    assert told(moved) != before


@pytest.mark.parametrize("position", [0, WHOLE_BYTES * 2 - 1])
def test_a_changed_block_of_a_large_file_is_seen(weights, position):
    before = told(weights)
    with (weights / "model.safetensors").open("r+b") as large:
        large.seek(position)
        large.write(b"\1")
    assert told(weights) != before


def test_what_a_server_calls_a_model_is_a_name_whatever_lies_here_under_it(tmp_path, monkeypatch):
    (tmp_path / "org/name").mkdir(parents=True)
    (tmp_path / "org/name/notes.txt").write_text("not its weights")
    cached = tmp_path / "models--org--name/refs/main"
    cached.parent.mkdir(parents=True)
    cached.write_text("c0ffee")
    monkeypatch.chdir(tmp_path)
    spec = ModelSpec("m", "org/name", kind="openai", environment={"HF_HUB_CACHE": str(tmp_path)})
    assert identify(spec) == {"model": "org/name", "revision": None, "commit": None}


def test_a_hub_model_is_known_by_the_commit_in_the_cache(tmp_path):
    spec = replace(SPEC, environment={"HF_HUB_CACHE": str(tmp_path)})
    assert identify(spec) == {"model": "org/name", "revision": None, "commit": None}
    reference = tmp_path / "models--org--name/refs/main"
    reference.parent.mkdir(parents=True)
    reference.write_text("c0ffee")
    assert identify(spec)["commit"] == "c0ffee"


def test_no_value_of_an_environment_is_written_down():
    settings = generation_settings(
        replace(SPEC, environment={"VLLM_FLAG": "private", "MY_API_KEY": "secret"})
    )
    assert "private" not in str(settings)
    assert list(settings["environment"]) == ["VLLM_FLAG"]
