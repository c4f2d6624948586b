"""Which trouble an engine is in, told from its own words. The texts were provoked on real engines."""

from __future__ import annotations

import re

import pytest

from pytest_llmeval.engines.faults import FaultKind, classify, explain, readable, root_cause
from pytest_llmeval.engines.transformers import Settings
from pytest_llmeval.schema import ModelSpec

SPEC = ModelSpec("m", "org/model", token_env="TEAM_TOKEN")

PROVOKED = {
    "LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on "
    "the local disk and outgoing traffic has been disabled.": FaultKind.OFFLINE,
    "OSError: We couldn't connect to 'the hub' to load the files, and couldn't find them": FaultKind.OFFLINE,
    "ValidationError: 1 validation error for ModelConfig Value error, Model architectures ['Foo'] are not "
    "supported for now.": FaultKind.ARCHITECTURE,
    "ValidationError: 1 validation error for VllmConfig Value error, Expecting value: line 1 column 1 (char 0) "
    "[type=value_error, input_value=ArgsKwargs((), {})]": FaultKind.WEIGHTS,
    "RuntimeError: Cannot find any model weights with `/tmp/x`": FaultKind.WEIGHTS,
    "TypeError: EngineArgs.__init__() got an unexpected keyword argument 'max_modle_len'": FaultKind.ARGUMENT,
    "ValidationError: 1 validation error for CacheConfig gpu_memory_utilization Input should be less than or "
    "equal to 1 [type=less_than_equal, input_value=3.0, input_type=float]": FaultKind.ARGUMENT,
    "ValidationError: 1 validation error for ModelConfig Value error, User-specified max_model_len (999999) is "
    "greater than the derived max_model_len (max_position_embeddings=40960.0)": FaultKind.CONTEXT,
    "ValueError: No available memory for the cache blocks. Try increasing": FaultKind.MEMORY,
    "ValueError: Available memory on node 0 (7.9/9.09 GiB) on kv cache allocation is less": FaultKind.MEMORY,
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB": FaultKind.MEMORY,
    "RuntimeError: std::bad_alloc": FaultKind.MEMORY,
    "GatedRepoError: 403 Client Error. Access to model org/model is restricted": FaultKind.GATED,
    "RepositoryNotFoundError: 404 Client Error.": FaultKind.NOT_FOUND,
    "HFValidationError: Repo id must be in the form 'repo_name'": FaultKind.NOT_FOUND,
    "ValueError: Cannot use chat template functions because tokenizer.chat_template is not "
    "set": FaultKind.CHAT_TEMPLATE,
    "ValueError: the tokenizer gives no tokens for a line of code": FaultKind.TOKENIZER,
    "ModuleNotFoundError: No module named 'vllm'": FaultKind.PACKAGE,
    "ModuleNotFoundError: No module named 'safetensors'": FaultKind.PACKAGE,
    "the engine host died (signal SIGKILL)": FaultKind.DIED,
}  # fmt: skip


@pytest.mark.parametrize("cause", PROVOKED, ids=[kind.name.lower() for kind in PROVOKED.values()])
def test_each_provoked_cause_is_told_by_its_kind(cause):
    rule = classify(cause)
    assert rule is not None
    assert rule.kind is PROVOKED[cause]
    assert rule.advice.format(model="m", token_env="t", extra="e")


def test_the_explanation_says_what_happened_and_what_to_do():
    text = explain("GatedRepoError: 403 Client Error.", "", SPEC)
    assert text.splitlines()[0] == "gated: GatedRepoError: 403 Client Error."
    assert "hub page of org/model" in text
    assert "set TEAM_TOKEN" in text


def test_a_wrong_argument_is_one_line_in_the_engines_own_words():
    cause = (
        "ValidationError: 1 validation error for CacheConfig gpu_memory_utilization Input should be less than or "
        "equal to 1 [type=less_than_equal, input_value=3.0, input_type=float] For further information"
    )
    assert readable(cause) == "gpu_memory_utilization Input should be less than or equal to 1"


def test_a_core_that_died_elsewhere_is_explained_from_the_log():
    log = (
        "ERROR core.py: ValueError: No available memory for the cache blocks.\n"
        "RuntimeError: Engine core initialization failed. See root cause above."
    )
    cause = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    assert root_cause(cause, log) == "ValueError: No available memory for the cache blocks."
    assert classify(cause, log).kind is FaultKind.MEMORY


def test_unknown_trouble_keeps_its_own_words():
    assert explain("ZeroDivisionError: division by zero", "", SPEC) == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("cause", "fits"),
    [
        (
            "ValueError: To serve at least one request with the model's max seq len (32768), (4.00 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (1.25 GiB). Based on the available memory, "
            "the estimated maximum model length is 10240. Try increasing `gpu_memory_utilization`",
            "vLLM estimates that engine.max_model_len = 10240 fits. Lower",
        ),
        (
            "ValueError: Free memory on device cuda:0 (34.9/79.1 GiB) on startup is less than desired GPU memory "
            "utilization (0.9, 71.2 GiB).",
            "34.9 of 79.1 GiB are free: engine.gpu_memory_utilization = 0.43 fits. Lower",
        ),
        (
            "ValueError: Available memory on node 0 (7.9/9.09 GiB) on kv cache allocation is less than requested",
            "7.9 of 9.09 GiB are free, which is the most that engine.kv_cache_memory_bytes can be. Lower",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory.", "Lower engine.max_model_len"),
    ],
    ids=["length", "device", "host", "unknown"],
)
def test_out_of_memory_says_what_would_fit_where_vllm_knows(cause, fits):
    assert explain(cause, "", SPEC).splitlines()[1].startswith(fits)


def test_a_missing_package_names_the_extra_of_the_kind():
    spec = ModelSpec("m", "org/model", kind="transformers")
    assert "bench[transformers]'" in explain("ModuleNotFoundError: No module named 'torch'", "", spec)
    assert "bench[vllm] or [cpu]'" in explain("ModuleNotFoundError: No module named 'vllm'", "", SPEC)


@pytest.mark.parametrize(
    "cause",
    [
        "torch.OutOfMemoryError: CUDA out of memory.",
        "ValueError: The checkpoint has model type `new` but Transformers does not recognize this architecture.",
        "TypeError: Model.__init__() got an unexpected keyword argument 'max_num_seqs'",
        "OSError: Can't load tokenizer for 'org/model'.",
    ],
)
def test_the_advice_for_transformers_names_no_key_of_vllm(cause):
    """Its `engine` table would refuse them."""
    spec = ModelSpec("m", "org/model", kind="transformers")
    advice = explain(cause, "", spec).splitlines()[1]
    keys = re.findall(r"engine\.(\w+)", advice)
    assert set(keys) <= set(Settings.model_fields)
    assert "vLLM" not in advice
    assert advice != explain(cause, "", SPEC).splitlines()[1]
