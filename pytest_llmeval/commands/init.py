"""`python -m pytest_llmeval init [DIR]`: a starter models.toml, suite and CI file for another project.

Nothing that exists is written over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_llmeval.errors import ConfigurationError

STARTER = Path(__file__).parent / "starter"
# What is written where; the names in the package end so that no tool takes them for files of ours.
FILES = {
    "models.toml": "models.toml.txt",
    "suites/test_humaneval.py": "test_humaneval.py.txt",
    ".github/workflows/model-evaluation.yml": "model-evaluation.yml.txt",
}
SWITCH = """\
Then tell pytest where the models are; this also switches the plugin on:

  pyproject.toml            [tool.pytest.ini_options]
                            llmeval_registry = "models.toml"

and try it, without a GPU:   pip install 'pytest-llmeval-bench[cpu]' && pytest suites -m demo
on a machine with one:       pip install 'pytest-llmeval-bench[vllm]' && pytest suites -m coding
"""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pytest_llmeval init", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="the project (default: here)")
    folder: Path = parser.parse_args(arguments).folder
    for name in write_starter(folder):
        sys.stdout.write(f"wrote {name}\n")
    sys.stdout.write(f"\n{SWITCH}")
    return 0


def write_starter(folder: Path) -> list[Path]:
    """Write every starter file.

    Raises:
        ConfigurationError: one exists already (then nothing is written), or the folder cannot be written.
    """
    targets = {folder / name: STARTER / source for name, source in FILES.items()}
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
