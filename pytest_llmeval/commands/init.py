"""`python -m pytest_llmeval init [DIR]`: a starter models.toml, suites and CI file for another project.

Nothing that exists is written over. Where pytest has no configuration yet, a pytest.ini is written, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_llmeval.errors import ConfigurationError

STARTER = Path(__file__).parent / "starter"
# What is written where; the names in the package end so that no tool takes them for files of ours. Its suites are
# links to those at the top of the checkout: whatever a page shows can be typed in a project that began here.
FILES = {
    "models.toml": "models.toml.txt",
    ".github/workflows/model-evaluation.yml": "model-evaluation.yml.txt",
}
SUITES = "suites"
ENDING = ".txt"
# Where pytest looks for its configuration, in its order, and what switches the plugin on there.
TOML = '[tool.pytest.ini_options]\nllmeval_registry = "models.toml"\n'
INI = "[pytest]\nllmeval_registry = models.toml\n"
CONFIGURATIONS = {
    "pytest.toml": '[pytest]\nllmeval_registry = "models.toml"\n',
    "pytest.ini": INI,
    "pyproject.toml": TOML,
    "tox.ini": INI,
    "setup.cfg": INI.replace("[pytest]", "[tool:pytest]"),
}
TRY = """\
Try it without a GPU:    pip install 'pytest-llmeval-bench[cpu]' && pytest suites -m demo --llmeval-wrong=xfail
on a machine with one:   pip install 'pytest-llmeval-bench[vllm]' && pytest suites -m coding
what can run here:       python -m pytest_llmeval doctor
what runs leave:         reports/, which is a line for your .gitignore
"""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pytest_llmeval init", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="the project (default: here)")
    folder: Path = parser.parse_args(arguments).folder
    for name in write_starter(folder):
        sys.stdout.write(f"wrote {name}\n")
    sys.stdout.write(f"\n{switched_on(folder)}{TRY}")
    return 0


def switched_on(folder: Path) -> str:
    """Name the registry in pytest's configuration, which switches the plugin on; say how where there is one."""
    own = next((name for name in CONFIGURATIONS if (folder / name).exists()), None)
    if own is None:
        (folder / "pytest.ini").write_text(INI, encoding="utf-8")
        return f"wrote {folder / 'pytest.ini'}: it names models.toml, which switches the plugin on\n\n"
    lines = "".join(f"  {line}\n" for line in CONFIGURATIONS[own].splitlines())
    return f"Now add to {own}, so that pytest finds the models; it switches the plugin on:\n\n{lines}\n"


def write_starter(folder: Path) -> list[Path]:
    """Write every starter file.

    Raises:
        ConfigurationError: one exists already (then nothing is written), or the folder cannot be written.
    """
    suites = {
        str(source.relative_to(STARTER)).removesuffix(ENDING): source
        for source in sorted((STARTER / SUITES).rglob(f"*{ENDING}"))
    }
    sources = {name: STARTER / source for name, source in FILES.items()} | suites
    targets = {folder / name: source for name, source in sources.items()}
    if existing := [str(target) for target in targets if target.exists()]:
        raise ConfigurationError(
            f"nothing was written, because there already is {', '.join(existing)}: move it away, or copy what "
            f"you need from {STARTER}"
        )
    try:
        for target, source in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from error
    return list(targets)
