"""Every block of code in README and docs is run as it stands, checked, or says why it is not."""

from __future__ import annotations

import argparse
import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import blocks
import project
import pytest
from blocks import PAGES, REPOSITORY, Block

from pytest_llmeval import __main__ as commands
from pytest_llmeval.gate.rules import Policy, load_policy
from pytest_llmeval.options import DECLARED
from pytest_llmeval.registry import load_registry

BLOCKS = [block for page in PAGES for block in blocks.blocks(page)]
INI_KEYS = re.compile(r"llmeval_\w+")
IS_SUITE = re.compile(r"^(def test_|class Test)", re.MULTILINE)
# What a block's registry may lean on.
BESIDE = {"team.toml": "", "chat.jinja": "{{ messages }}", "ask.txt": "{prompt}"}


def of_language(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and not block.exempt]


def each(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=map(str, found))


SCRIPTS = [block for block in of_language("python") if not IS_SUITE.search(block.text) and not block.file]
SUITES = [block for block in of_language("python") if IS_SUITE.search(block.text)]
# Suites that draw answers in ways of their own are refused in a session with others; some are only collected.
APART = [[block] for block in SUITES if block.collected or re.search(r"problems\(.*=", block.text)]
SESSIONS = [[block for block in SUITES if [block] not in APART], *APART]
# Commands within sentences and tables, such as README's "what you type".
SPANS = sorted(
    {span for page in PAGES for span in blocks.spans(page) if re.match(r"pytest (suites|--llmeval)", span)}
)
COLLECTED = [block for block in of_language("bash", "sh") if block.collected]
FOLLOWED = [
    page for page in PAGES if any(b.page == page and not b.collected for b in of_language("bash", "sh"))
]


def test_every_block_has_a_language_that_is_checked():
    known = {"python", "toml", "ini", "yaml", "bash", "sh", "text"}
    assert [str(block) for block in BLOCKS if block.language not in known] == []


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """The project with a run and a baseline in it, as a reader has them who follows one page after the other."""
    folder = tmp_path_factory.mktemp("docs") / "template"
    project.make(folder)
    done = project.shell(
        folder, "pytest suites -m coding && python -m pytest_llmeval baseline reports/latest -o baseline.json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def folder(template, tmp_path) -> Path:
    return shutil.copytree(template, tmp_path / "project", symlinks=True)


# --------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.name)
def test_a_page_can_be_followed_literally(page, folder):
    if "pytest_llmeval init" in page.read_text():
        project.begin_empty(folder)
    for block in blocks.blocks(page):
        if block.language not in ("bash", "sh") or block.exempt or block.collected:
            continue
        done = project.shell(folder, block.text)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def selected(template) -> dict[str, tuple[int, str]]:
    """What the commands of all blocks that are not run select: line → exit code and output."""
    for block in BLOCKS:
        if block.text.startswith("cat > "):  # a file that a page shows
            project.shell(template, block.text.partition("\nLINES\n")[0] + "\nLINES\n")
    texts = [*(block.text for block in COLLECTED), *SPANS]
    lines = [line for text in texts for line in shlex_lines(text) if line[0] == "pytest"]
    asked = json.dumps(lines)
    done = project.shell(
        template, f"python {Path(__file__).parent / 'collecting.py'} <<'ASKED'\n{asked}\nASKED"
    )
    assert done.returncode == 0, done.stderr
    return {shlex.join(line): answer for line, answer in zip(lines, json.loads(done.stdout), strict=True)}


@each(COLLECTED)
def test_commands_that_are_not_run_here_select_items_and_have_options_that_exist(
    block, selected, monkeypatch
):
    for line in shlex_lines(block.text):
        if line[0] == "pytest":
            code, output = selected[shlex.join(line)]
            assert code == pytest.ExitCode.OK, f"{line}\n{output}"
        elif line[1:3] == ["-m", "pytest_llmeval"]:
            understood(line[3:], monkeypatch)


@pytest.mark.parametrize("span", SPANS)
def test_commands_within_sentences_select_items(span, selected):
    (line,) = shlex_lines(span)
    code, output = selected[shlex.join(line)]
    assert code == pytest.ExitCode.OK, output


def shlex_lines(text: str) -> list[list[str]]:
    joined = text.replace("\\\n", " ").splitlines()
    return [
        words
        for line in joined
        if (words := shlex.split(line, comments=True)) and words[0] in ("pytest", "python")
    ]


class Understood(Exception):
    """A command's line was parsed."""


def understood(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own parser takes the line; nothing is done."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_only(*arguments):
        parse_args(*arguments)
        raise Understood

    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        with pytest.raises(Understood):
            commands.run(line[0], line[1:])


@each([block for block in BLOCKS if block.language in ("bash", "sh")])
def test_shell_scripts_are_posix(block):
    done = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_commands_and_ini_keys_that_are_named_exist(page):
    text = page.read_text()
    assert set(re.findall(r"--llmeval-([a-z][a-z-]*[a-z]|n)\b", text)) <= set(DECLARED)
    assert set(re.findall(r"python -m pytest_llmeval ([a-z]+)", text)) <= set(commands.COMMANDS)


# ----------------------------------------------------------------------------------------------- Python


@each(SCRIPTS)
def test_programs_run(block, folder):
    (folder / "example.py").write_text(block.text)
    done = project.shell(folder, "python example.py")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("together", SESSIONS, ids=lambda found: found[0].page.name)
def test_suites_run(together, folder):
    modules = folder / "suites" / "pages"
    modules.mkdir()
    save_files(folder)
    for number, block in enumerate(together):
        (modules / f"test_page_{number}.py").write_text(block.text)
    only = "--collect-only" if together[0].collected else ""
    done = project.shell(folder, f"python -m pytest suites/pages --llmeval-models qwen3_8b {only}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout or only


def save_files(folder: Path) -> None:
    """Modules that pages show by name."""
    for block in of_language("python"):
        if block.file:
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)


# -------------------------------------------------------------------------------------- configurations


@each(of_language("toml"))
def test_toml_is_what_we_read(block, tmp_path):
    document = tomllib.loads(block.text)
    if "tool" in document:
        assert INI_KEYS.fullmatch(*document["tool"]["pytest"]["ini_options"])
    elif "project" in document:
        ((group, names),) = document["project"]["entry-points"].items()
        assert group in {"pytest_llmeval.engines", "pytest_llmeval.problems"}
        assert all(":" in target for target in names.values())
    else:
        check_registry(document, block.text, tmp_path)


def check_registry(document: dict, text: str, folder: Path) -> None:
    """A whole registry, or a part of one that leans on the models we ship."""
    for name, content in BESIDE.items():
        (folder / name).write_text(content)
    includes = "" if "include" in document else 'include = ["builtin"]\n'
    others = {*document.get("gate", {}).get("compare", {})} - {*document.get("models", {})}
    for name, entry in document.get("models", {}).items():
        if not {"model", "extends"} & set(entry):
            text = text.replace(f"[models.{name}]\n", f'[models.{name}]\nmodel = "some/weights"\n')
    path = folder / "models.toml"
    path.write_text(
        includes + text + "".join(f'\n[models.{name}]\nextends = "qwen3_8b"\n' for name in others)
    )
    load_policy(path, None, [], load_registry(path))


def test_the_rules_shown_as_default_are_the_default():
    (shown,) = (tomllib.loads(b.text)["gate"] for b in of_language("toml") if "alpha" in b.text)
    del shown["models"]
    assert Policy.model_validate(shown) == Policy()


@each(of_language("ini"))
def test_ini_files_hold_keys_that_exist(block):
    parser = configparser.ConfigParser()
    parser.read_string(block.text)
    declared = (REPOSITORY / "docs/options.md").read_text()
    assert all(f"`{key}`" in declared for key in parser["pytest"])


WORKFLOWS = {str(block): block.text for block in of_language("yaml")} | {
    "init": (REPOSITORY / "pytest_llmeval/commands/starter/model-evaluation.yml.txt").read_text()
}


def test_workflows_conform_to_github_s_schema(tmp_path):
    for number, text in enumerate(WORKFLOWS.values()):
        (tmp_path / f"{number}.yml").write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.github-workflows",
            *tmp_path.iterdir(),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("text", WORKFLOWS.values(), ids=WORKFLOWS)
def test_workflows_put_nothing_of_a_pull_request_into_a_shell(text):
    """`${{ github.base_ref }}` in a `run` is code injection: whoever names a branch writes the script."""
    run = re.findall(r"run: (?:\|\n(?:\s{10,}.*\n)+|.*)", text)
    assert not [line for line in run if "${{" in line]
