"""What samples at level A see of this machine's files, and the two ways to show it to them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox.interpreter import Interpreter

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """A root directory: trees shown read only (source, target), links (points to, target), hidden folders."""

    shown: tuple[Pair, ...]
    links: tuple[Pair, ...]
    hidden: tuple[str, ...]


def site_paths(interpreter: Interpreter) -> list[str]:
    """Where declared packages are seen: out of the way of /tmp, which every sample has for itself."""
    return [f"/run/site/{index}" for index, _ in enumerate(interpreter.site)]


def view(interpreter: Interpreter) -> View:
    """The interpreter without its packages, and those that were declared."""
    files = sorted({path for path in interpreter.files() if path.exists()})
    links = tuple((str(path.readlink()), str(path)) for path in files if path.is_symlink())
    shown = [(str(path), str(path)) for path in files if not path.is_symlink()]
    shown += zip(interpreter.site, site_paths(interpreter), strict=True)
    shown.sort(key=lambda pair: pair[1])
    return View(tuple(shown), links, tuple(str(path) for path in interpreter.packages()))


def bubblewrap(seen: View, root: bool, proc: Sequence[str]) -> tuple[str, ...]:
    """The command that shows `seen` to what follows it; SandboxFault where bubblewrap is not installed."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxFault("bubblewrap (bwrap) is not installed")
    command = [
        program, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        "--as-pid-1", "--die-with-parent", "--new-session",
    ]  # fmt: skip
    if root:
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    for parent in _parents(seen):
        command += ["--dir", parent]
    for source, target in seen.shown:
        command += ["--ro-bind", source, target]
    for points_to, target in seen.links:
        command += ["--symlink", points_to, target]
    for directory in seen.hidden:
        command += ["--tmpfs", directory, "--remount-ro", directory]
    for device in DEVICES:
        command += ["--dev-bind", device, device]
    return (*command, *proc, "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/", "--")


def _parents(seen: View) -> list[str]:
    """Directories above what is shown: those that bwrap makes on its own are closed to samples' user id."""
    targets = [target for _, target in (*seen.shown, *seen.links)]
    parents = {parent for target in targets for parent in Path(target).parents}
    parents |= {Path("/dev"), Path("/run")}
    inside = [f"{target}/" for _, target in seen.shown]
    return [str(p) for p in sorted(parents - {Path("/")}) if not any(f"{p}/".startswith(t) for t in inside)]


def enclosure(seen: View) -> dict[str, Any]:
    """The same for jail/enclose.py."""
    return {
        "shown": list(seen.shown),
        "links": list(seen.links),
        "hidden": list(seen.hidden),
        "devices": list(DEVICES),
    }
