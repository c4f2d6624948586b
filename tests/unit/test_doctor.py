"""What doctor makes of what it finds: states, cures, exit codes."""

from __future__ import annotations

from pytest_llmeval import devices
from pytest_llmeval.commands import checks, doctor
from pytest_llmeval.commands.checks import Finding, State
from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry

SPECS = load_registry(BUILTIN_REGISTRY)


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


def test_tokens_are_named_and_never_shown():
    found = list(checks.hub(SPECS.values(), {"HF_TOKEN": "hf_abcdefghijklmnop"}))
    assert [(f.state, f.says) for f in found] == [(State.OK, "HF_TOKEN is set")]
    (missing,) = checks.hub(SPECS.values(), {})
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
