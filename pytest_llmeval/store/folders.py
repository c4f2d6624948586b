"""Where runs lie: folders under reports/, made without clashing, and names that stay in their folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from urllib.parse import quote

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.schema import RecordId
from pytest_llmeval.store.lines import explained

LATEST = "latest"
MANIFEST = "manifest.json"
RUNS = "runs"  # in a run's folder: those of the runs that it was made of
LONGEST_NAME = 200  # file systems take 255 bytes, and an ending comes behind


def file_name(name: str) -> str:
    """A name as one path component: percent-encoded, so that `HumanEval/0` and `..` stay in their folder."""
    encoded = quote(name, safe="", errors="surrogatepass")
    if len(encoded) > LONGEST_NAME:
        digest = hashlib.sha256(encoded.encode()).hexdigest()[:16]
        encoded = f"{encoded[: LONGEST_NAME - 17]}~{digest}"
    return encoded.replace(".", "%2E") if set(encoded) <= {"."} else encoded


def prediction_path(folder: Path, name: RecordId) -> Path:
    """<folder>/predictions/<model>/<problem set>/<task>.json: everything about one item, for people."""
    *above, last = map(file_name, name)
    return folder.joinpath("predictions", *above) / f"{last}.json"


def create_run_folder(reports: Path, run_id: str) -> Path:
    """A new folder reports/<run id>[-N]; runs that start in the same second do not share one.

    Raises:
        LLMEvalError: the folder cannot be made.
    """
    with explained(reports):
        reports.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
            with contextlib.suppress(FileExistsError):
                folder = reports / f"{run_id}{suffix}"
                folder.mkdir()
                return folder
    raise LLMEvalError(f"{reports} already holds a thousand runs named {run_id}")


def point_latest(folder: Path) -> None:
    """Let reports/latest lead to `folder`; where links are not to be had, nothing points anywhere."""
    link = folder.parent / LATEST
    temporary = folder.parent / f".{LATEST}-{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(folder.name, target_is_directory=True)
        try:
            temporary.replace(link)
        except OSError:  # somebody's own folder has that name
            temporary.unlink()


def find_run(reports: Path, name: str) -> Path | None:
    """The folder of the run `name` under `reports` (`latest`: of the newest); None where there is none."""
    if not name or Path(name).name != name:
        return None
    folder = (reports / name).resolve()
    return folder if any((home / MANIFEST).is_file() for home in homes(folder)) else None


def homes(folder: Path) -> list[Path]:
    """Where a run's files may lie: its folder, then those of pytest-xdist's workers, if nobody put them together."""
    return [folder, *sorted(path.parent for path in (folder / RUNS).glob(f"*/{MANIFEST}"))]
