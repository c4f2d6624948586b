"""The wheel as somebody else installs it, with a project of theirs: nothing of this checkout is in reach."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, because building in this checkout would leave files in it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "models.toml", "pytest_llmeval", "scripts"):
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        out,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The wheel's files, unpacked as an installer does."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture
def outside(installed, tmp_path):
    """Runs a command in a copy of the project, with the wheel before anything else on the path."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "PYTHONPATH": str(installed)},
        )

    return run, project


def test_it_holds_what_the_checkout_shows(installed):
    package = installed / "pytest_llmeval"
    assert (package / "models.toml").read_text() == (REPOSITORY / "models.toml").read_text()
    assert (package / "models/tiny_coder/model.safetensors").stat().st_size > 1_000_000
    assert (package / "py.typed").exists()


RELATIVE = re.compile(r"\]\((?!https?:)|src=\"(?!https?:)")


def test_no_link_of_its_description_is_dead_on_a_package_index(installed):
    (metadata,) = installed.glob("*.dist-info/METADATA")
    shown = metadata.read_text()
    assert "# pytest_llmeval\n" in shown
    assert not RELATIVE.findall(shown)


def test_links_of_its_description_lead_into_the_repository_once_that_has_an_address():
    described = runpy.run_path(str(REPOSITORY / "scripts/index_description.py"))["described"]
    readme = (REPOSITORY / "README.md").read_text()
    shown = described(readme, "https://example.org/us/it")
    assert not RELATIVE.findall(shown)
    assert shown.count("](") == readme.count("](")
    assert "[the gate](https://example.org/us/it/blob/HEAD/docs/gate.md)" in shown
    assert '<img src="https://example.org/us/it/raw/HEAD/docs/images/item.png" width=' in shown


def test_a_project_of_somebody_else_runs_with_its_own_models_suite_engine_and_problems(outside, installed):
    run, project = outside
    where = run("-c", "import pytest_llmeval; print(pytest_llmeval.__file__)").stdout
    assert where.startswith(str(installed))

    done = run("-m", "pytest", "suites", "--llmeval-models=recall", "-p", "no:cacheprovider")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "candidate(8) == 4" in done.stdout
    (figures,) = json.loads((project / "reports/latest/summary.json").read_text())["models"].values()
    assert figures["status"] == "complete"
    assert (project / "reports/latest/report.html").is_file()


def test_its_commands_and_starter_files_are_there(outside):
    run, project = outside
    assert "recall" in run("-m", "pytest_llmeval", "models").stdout
    assert run("-m", "pytest_llmeval", "init", "fresh").returncode == 0
    for suite in (REPOSITORY / "suites").rglob("*.py"):
        assert (project / "fresh" / suite.relative_to(REPOSITORY)).read_text() == suite.read_text()


@pytest.fixture(scope="module")
def alone(installed, tmp_path_factory):
    """Runs a command where nothing is installed but the wheel and what its metadata asks for."""
    root = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    (site,) = root.glob("lib/*/site-packages")
    (metadata,) = installed.glob("*.dist-info")
    for top in installed.iterdir():
        (site / top.name).symlink_to(top)
    for name in needed(Distribution.at(metadata)):
        link(distribution(name), site)

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [root / "bin" / "python", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=200,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )

    return run


def needed(dist: Distribution, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Names of all distributions that one needs, by its metadata; each is there in a version that will do."""
    for requirement in map(Requirement, dist.requires or ()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = distribution(requirement.name)
        assert requirement.specifier.contains(found.version, prereleases=True), (
            f"{requirement}: {found.version}"
        )
        if requirement.name not in seen:
            seen = needed(found, seen | {requirement.name})
    return seen


def link(dist: Distribution, site: Path) -> None:
    for top in {file.parts[0] for file in dist.files or () if file.parts[0] != ".."}:
        target = Path(str(dist.locate_file(top)))
        if target.exists() and not (site / top).exists():
            (site / top).symlink_to(target)


def test_it_judges_samples_with_nothing_else_installed(alone, tmp_path):
    assert alone(tmp_path, "-c", "import vllm").returncode == 1
    (tmp_path / "samples.jsonl").write_text(
        '{"task_id": "HumanEval/53", "completion": "    return x + y\\n"}\n'
    )
    assert alone(tmp_path, "-m", "pytest_llmeval", "init").returncode == 0
    done = alone(
        tmp_path, "-m", "pytest", "suites", "--llmeval-samples=samples.jsonl", "-p", "no:cacheprovider"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "reports/latest/report.html").is_file()


def test_what_is_optional_is_missed_by_name_and_with_the_way_to_get_it(alone, tmp_path):
    assert alone(tmp_path, "-m", "pytest_llmeval", "init").returncode == 0
    done = alone(
        tmp_path, "-m", "pytest", "suites", "-m", "demo", "--llmeval-limit=1", "-p", "no:cacheprovider"
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert (
        "needs the package 'vllm', which is not installed: pip install 'pytest-llmeval-bench[cpu]'"
        in done.stdout
    )
    found = alone(tmp_path, "-m", "pytest_llmeval", "doctor", "--json")
    says = {finding["topic"]: finding["says"] for finding in json.loads(found.stdout)["findings"]}
    assert says["vllm"].startswith("not installed")
    assert says["model tiny_coder"] == "vLLM is not installed"
    assert says["hub"] == "not asked: huggingface_hub does not import"
